import { greeting } from "./greeting.js";

console.log(`${greeting} from Node.js on ${process.arch}, ${process.env.VERSION}`);
