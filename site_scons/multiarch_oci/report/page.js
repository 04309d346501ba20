"use strict";
// Filters, the inspector beside the graph, keys. Without it the page says the same: it is all in the document.
(() => {
  const run = JSON.parse(document.getElementById("run").textContent);
  const nodes = run.nodes;
  const number = new Map(nodes.map((node, index) => [node.key, index]));
  const consumers = nodes.map(() => []);
  nodes.forEach((node, index) => node.sources.forEach((key) => {
    if (number.has(key)) consumers[number.get(key)].push(index);
  }));
  const layers = new Map(run.layers.map((layer) => [layer.digest, layer]));
  const rows = nodes.map((_, index) => document.getElementById(`t${index}`));
  const drawn = [...document.querySelectorAll("#graph-scroll a.target")];
  const texts = nodes.map((node) =>
    [node.key, node.kind, node.title, node.platform, node.group, node.reference, node.digest, node.last_reason, ...node.reasons]
      .join("\n").toLowerCase());
  const inspector = document.getElementById("inspector");
  const filter = document.getElementById("filter");
  const chips = [...document.querySelectorAll(".chip")];
  let chosen = -1;

  const size = (count) => {
    for (const [limit, unit] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
      if (count >= limit) return `${(count / limit).toFixed(1)} ${unit}`;
    }
    return `${count} B`;
  };
  const seconds = (time) => time >= 60 ? `${Math.floor(Math.round(time) / 60)} min ${String(Math.round(time) % 60).padStart(2, "0")} s`
    : `${time.toFixed(time >= 10 ? 1 : 2)} s`;
  const element = (name, text, parent) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };
  const shown = (text) => text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);

  function list(title, items, parent) {
    if (!items.length) return;
    element("h4", title, parent);
    const box = element("ul", undefined, parent);
    items.forEach((item) => {
      const entry = element("li", undefined, box);
      if (typeof item === "string") entry.textContent = shown(item);
      else entry.append(item);
    });
  }
  function link(index) {
    const made = element("a", `${nodes[index].kind} ${shown(nodes[index].title)}`);
    made.href = `#t${index}`;
    return made;
  }
  function layer(digest) {
    const known = layers.get(digest);
    const made = element("a", known ? `${size(known.size)} ${shown(known.made_by) || (known.from_base ? "base" : digest)}` : digest);
    made.href = `#layer-${digest.split(":")[1].slice(0, 16)}`;
    return made;
  }

  function choose(index, focus) {
    if (index < 0 || index >= nodes.length) return;
    if (chosen >= 0) {
      drawn[chosen].classList.remove("chosen");
      rows[chosen].classList.remove("chosen");
      drawn[chosen].tabIndex = -1;
    }
    chosen = index;
    const node = nodes[index];
    drawn[index].classList.add("chosen");
    rows[index].classList.add("chosen");
    drawn[index].tabIndex = 0;
    if (focus) drawn[index].focus();
    inspector.replaceChildren();
    element("h3", `${node.kind} ${shown(node.title)}`, inspector);
    const state = element("span", node.outcome, inspector);
    state.className = `state state-${node.outcome.replaceAll(" ", "-")}`;
    const facts = element("dl", undefined, inspector);
    const fact = (name, value) => {
      if (value === "" || value === null || value === undefined) return;
      element("dt", name, facts);
      element("dd", shown(String(value)), facts);
    };
    fact("target", node.key);
    fact("platform", node.platform);
    fact("reference", node.reference);
    fact("digest", node.digest);
    fact("base", node.base);
    fact("size", node.size === null ? "" : size(node.size));
    fact("took", node.seconds === null ? "" : seconds(node.seconds));
    fact("sent", node.sent ? size(node.sent) : "");
    fact("fetched", node.received ? size(node.received) : "");
    fact("requests", node.requests || "");
    fact("error", node.error);
    const reasons = node.reasons.length ? node.reasons : node.seconds !== null ? ["not built before"]
      : node.last_reason ? [`not built now; made last because: ${node.last_reason}`] : [node.outcome];
    list("Why", reasons, inspector);
    list("Layers, from the base up", node.layers.map(layer), inspector);
    list("Made of", node.sources.filter((key) => number.has(key)).map((key) => link(number.get(key))), inspector);
    list("Used by", consumers[index].map(link), inspector);
  }

  function apply() {
    const words = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const states = new Set(chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.state));
    nodes.forEach((node, index) => {
      const fits = states.has(node.outcome) && words.every((word) => texts[index].includes(word));
      rows[index].classList.toggle("hidden", !fits);
      drawn[index].classList.toggle("dim", !fits);
    });
  }

  function open(hash) {
    const target = hash.length > 1 && document.getElementById(decodeURIComponent(hash.slice(1)));
    if (!target) return;
    for (let above = target; above; above = above.parentElement) if (above.tagName === "DETAILS") above.open = true;
    const match = /^#t(\d+)$/.exec(hash);
    if (match) choose(Number(match[1]), false);
    target.scrollIntoView({ block: "center" });
  }

  drawn.forEach((target, index) => {
    target.tabIndex = index ? -1 : 0;
    target.addEventListener("click", (event) => { event.preventDefault(); choose(index, true); });
    target.addEventListener("focus", () => { if (chosen !== index) choose(index, false); });
  });
  document.getElementById("graph-scroll").addEventListener("keydown", (event) => {
    if (chosen < 0 && event.key.startsWith("Arrow")) { choose(0, true); event.preventDefault(); return; }
    const near = {
      ArrowDown: () => chosen + 1,
      ArrowUp: () => chosen - 1,
      ArrowRight: () => consumers[chosen][0] ?? chosen,
      ArrowLeft: () => number.get(nodes[chosen].sources.find((key) => number.has(key))) ?? chosen,
    }[event.key];
    if (near) { event.preventDefault(); choose(near(), true); }
    if (event.key === "Enter" && chosen >= 0) { event.preventDefault(); location.hash = `#t${chosen}`; }
  });
  filter.addEventListener("input", apply);
  chips.forEach((chip) => chip.addEventListener("click", () => {
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
    apply();
  }));
  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== filter) { event.preventDefault(); filter.focus(); }
    if (event.key === "Escape" && document.activeElement === filter) { filter.value = ""; apply(); filter.blur(); }
  });
  addEventListener("hashchange", () => open(location.hash));
  document.documentElement.dataset.ready = "yes";
  open(location.hash);
  const first = nodes.findIndex((node) => node.outcome === "failed");
  if (chosen < 0 && nodes.length) choose(first >= 0 ? first : 0, false);
})();
