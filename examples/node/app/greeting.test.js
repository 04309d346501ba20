import { strictEqual } from "node:assert";

import { greeting } from "./greeting.js";

strictEqual(greeting, "hello");
