"use strict";
// Draws one window at a time. Text only ever enters the page as text nodes.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = id => document.getElementById(id);
  const lanes = byId("lanes"), groups = byId("groups"), tip = byId("tip");
  const GUTTER = 84, RIGHT = 18, LANE = 26, AXIS = 22;
  // From here on groups share rows, as in the engine's slots.
  const OWN_ROWS_MAX = 60;
  const NAMES = ["blocks", "hash, beacon", "upload", "deadline", "self-check", "troubles"];
  const ENDS = { open: "unfinished", clean: "clean", rejected: "rejected by the self-check", failed: "failed", canceled: "given up" };
  let shown, from, to, found = null;

  const element = (name, attributes, parent, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const seconds = ms => (ms / 1000).toFixed(ms % 1000 ? 1 : 0) + " s";
  const clock = ms => new Date(ms + data.wall_offset_ms).toISOString().replace("T", " ").replace("Z", " UTC");
  const since = ms => `${seconds(ms - shown.from_ms)} into the window (${clock(ms)})`;
  const span = (a, b) => b == null ? `from ${since(a)}, unfinished` : `from ${since(a)}\nfor ${seconds(b - a)}`;
  const width = () => lanes.clientWidth || 1200;
  const x = ms => GUTTER + (ms - from) / (to - from) * (width() - GUTTER - RIGHT);
  const time = at => from + (at - GUTTER) / (width() - GUTTER - RIGHT) * (to - from);
  const isSeen = (a, b) => b >= from && a <= to;
  const hint = (node, text) => { node.hint = text; return node; };

  const box = (parent, kind, a, b, y, height, text) => {
    if (!isSeen(a, b)) return null;
    const left = Math.max(x(a), GUTTER), right = Math.min(x(b), width() - RIGHT);
    return hint(element("rect", { class: kind, x: left, y, width: Math.max(right - left, 1.5), height, rx: Math.min(2, height / 4) }, parent), text);
  };
  const tick = (parent, kind, at, y, height, text) => {
    if (!isSeen(at, at)) return;
    element("line", { class: kind, x1: x(at), x2: x(at), y1: y, y2: y + height }, parent);
    // What is thin is hard to point at.
    hint(element("rect", { x: x(at) - 3, y, width: 6, height, fill: "transparent" }, parent), text);
  };

  const grid = (parent, height, labeled) => {
    const step = [100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5].find(s => (to - from) / s <= width() / 80) || 72e5;
    for (let at = Math.ceil((from - shown.from_ms) / step) * step; shown.from_ms + at <= to; at += step) {
      const left = x(shown.from_ms + at);
      element("line", { class: "grid", x1: left, x2: left, y1: labeled ? AXIS - 4 : 0, y2: height }, parent);
      if (labeled) element("text", { class: "faint", x: left, y: 13, "text-anchor": "middle" }, parent, seconds(at));
    }
  };
  const limits = (parent, height) => {
    if (shown.closed_ms != null && isSeen(shown.closed_ms, shown.closed_ms)) tick(parent, "deadline", shown.closed_ms, 0, height, `generation ended\n${since(shown.closed_ms)}`);
    if (data.differs_at_ms != null && isSeen(data.differs_at_ms, data.differs_at_ms)) tick(parent, "differing", data.differs_at_ms, 0, height, `from here on this build does something else than the tape\n${since(data.differs_at_ms)}`);
  };
  const call = (parent, kind, c, y, height) => {
    const text = `${c.what}\n${span(c.from_ms, c.to_ms)}` + (c.answer ? `\n${c.is_good ? "answer" : "failed"}: ${c.answer}` : "");
    box(parent, c.is_good ? kind : "wrong", c.from_ms, c.to_ms ?? shown.to_ms, y, height, text);
  };

  const drawLanes = () => {
    lanes.replaceChildren();
    const height = AXIS + NAMES.length * LANE;
    lanes.setAttribute("height", height);
    NAMES.forEach((name, i) => { if (i % 2) element("rect", { class: "stripe", x: 0, y: AXIS + i * LANE, width: width(), height: LANE }, lanes); });
    grid(lanes, height, true);
    NAMES.forEach((name, i) => element("text", { x: 8, y: AXIS + i * LANE + 17 }, lanes, name));
    const top = lane => AXIS + lane * LANE + 4, tall = LANE - 8;
    let free = -Infinity;
    for (const [at, block] of shown.heads) {
      tick(lanes, block === shown.start ? "head first" : "head", at, top(0), tall, `block ${block} (number ${block - shown.start + 1} of 30)\n${since(at)}`);
      if (isSeen(at, at) && x(at) > free && x(at) < width() - RIGHT - 30) {
        const text = block === shown.start ? String(block) : "+" + (block - shown.start);
        element("text", { class: "faint", x: x(at) + 4, y: top(0) + 13 }, lanes, text);
        free = x(at) + 10 + 7 * text.length;
      }
    }
    for (const c of shown.hash) call(lanes, "call", c, top(1), tall / 2 - 1);
    for (const c of shown.beacon) call(lanes, "put", c, top(1) + tall / 2 + 1, tall / 2 - 1);
    for (const c of shown.upload) {
      const kind = c.what.startsWith("put") ? "put" : c.what.startsWith("read") ? "read" : "delete";
      call(lanes, kind, c, top(2), tall);
    }
    for (const [at, due] of shown.deadline) tick(lanes, "estimate", due, top(3), tall, `deadline as estimated ${since(at)}:\n${since(due)}`);
    for (const a of shown.groups) if (a.e === "clean" || a.e === "rejected") {
      box(lanes, a.e, a.t, a.t, top(4) + (a.e === "clean" ? 0 : tall / 2), tall / 2, attemptText(a));
    }
    for (const [at, area, text] of shown.troubles) if (isSeen(at, at)) {
      hint(element("path", { class: "trouble", d: `M${x(at)} ${top(5)}l6 ${tall / 2}l-6 ${tall / 2}l-6 ${-tall / 2}z` }, lanes), `${area}: ${text}\n${since(at)}`);
    }
    for (const at of shown.replaced_ms) tick(lanes, "differing", at, top(0), tall, `the window's first block was replaced\n${since(at)}`);
    limits(lanes, height);
  };

  const attemptText = a => `group ${a.i}, attempt ${a.a + 1}` + (a.g ? `, after ${a.g} replacements of the first block` : "") + `: ${ENDS[a.e]}\n${span(a.f, a.t)}` +
    (a.s != null ? `\n${a.s} rollouts solved` : "") + (a.d != null ? `\njournaled ${seconds(a.d - a.t)} later` : "") + (a.w ? `\n${a.w}` : "");

  // With a row each, groups that are out of sight take none; else the first row that is free when an attempt begins.
  const placed = attempts => {
    if (byId("rows").checked) {
      const indices = [...new Set(attempts.map(a => a.i))].sort((a, b) => a - b);
      const rows = new Map(indices.map((index, row) => [index, row]));
      return { rows: attempts.map(a => rows.get(a.i)), names: indices };
    }
    const ends = [];
    const rows = shown.groups.map(a => {
      let row = ends.findIndex(end => end <= a.f);
      if (row < 0) row = ends.length;
      ends[row] = a.t ?? Infinity;
      return row;
    });
    const rowOf = new Map(shown.groups.map((a, i) => [a, rows[i]]));
    return { rows: attempts.map(a => rowOf.get(a)), names: ends.map(() => "") };
  };
  const drawGroups = () => {
    groups.replaceChildren();
    const own = byId("rows").checked, attempts = shown.groups.filter(a => isSeen(a.f, a.t ?? shown.to_ms));
    const { rows, names } = placed(attempts), count = Math.max(1, names.length);
    const tall = own ? Math.max(4, Math.min(18, Math.floor(560 / count))) : Math.max(12, Math.min(22, Math.floor(700 / count)));
    const height = count * tall + 8;
    groups.setAttribute("height", height);
    grid(groups, height, false);
    element("text", { x: 8, y: 15 }, groups, own ? "groups" : "generation");
    const step = Math.ceil(14 / tall);
    for (let row = 0; row < names.length; row += step) {
      element("text", { class: "faint", x: GUTTER - 6, y: 4 + row * tall + Math.min(tall, 12), "text-anchor": "end" }, groups, names[row]);
    }
    attempts.forEach((a, i) => {
      const y = 4 + rows[i] * tall;
      const node = box(groups, "bar " + a.e, a.f, a.t ?? shown.to_ms, y, tall - 1.5, attemptText(a));
      if (a.i === found) node.classList.add("found");
      const label = a.a ? `${a.i} try ${a.a + 1}` : String(a.i);
      if (tall >= 10 && node.width.baseVal.value > 7 * label.length + 4) {
        element("text", { class: a.e === "open" ? "" : "inside", x: +node.getAttribute("x") + 4, y: y + tall / 2 + 3 }, groups, label);
      }
    });
    limits(groups, height);
  };
  const draw = () => { drawLanes(); drawGroups(); };

  const fit = () => {
    const ends = [shown.to_ms, shown.closed_ms ?? 0, ...shown.heads.map(head => head[0])];
    from = shown.from_ms;
    to = Math.max(from + 1000, ...ends);
    const margin = (to - from) / 100;
    from -= margin;
    to += margin;
  };
  const zoom = (factor, at) => {
    const middle = at === undefined ? (from + to) / 2 : time(at);
    if ((to - from) * factor < 50 || (to - from) * factor > 36e6) return;
    [from, to] = [middle - (middle - from) * factor, middle + (to - middle) * factor];
    draw();
  };
  const move = part => { const by = (to - from) * part; from += by; to += by; draw(); };

  const choose = number => {
    shown = data.windows[number];
    found = null;
    byId("window").value = number;
    for (const row of document.querySelectorAll("#windows tbody tr")) row.classList.toggle("chosen", +row.dataset.window === number);
    const distinct = new Set(shown.groups.map(a => a.i)).size;
    byId("rows").checked = distinct <= OWN_ROWS_MAX;
    const receipt = shown.receipt, verdict = shown.verdict;
    byId("summary").textContent = `${distinct} groups, ${shown.groups.length} attempts` +
      (receipt ? `; ${receipt.outcome}${receipt.why ? ": " + receipt.why : ""}` : "; no receipt") +
      (verdict ? `; validator: ${verdict.outcome}, ${verdict.accepted} of ${verdict.checked} checked rollouts valid, weight ${verdict.weight.toFixed(4)}` : "");
    fit();
    draw();
    document.documentElement.dataset.groupsDrawn = groups.querySelectorAll("rect.bar").length;
  };

  const point = event => {
    const text = event.target.hint;
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)) + "px";
    tip.style.top = Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)) + "px";
  };
  const watch = svg => {
    let held = null;
    svg.addEventListener("pointerdown", event => { held = event.clientX; svg.setPointerCapture(event.pointerId); });
    svg.addEventListener("pointerup", () => { held = null; });
    svg.addEventListener("pointercancel", () => { held = null; });
    svg.addEventListener("pointermove", event => {
      if (held === null) return point(event);
      tip.hidden = true;
      move((held - event.clientX) / (width() - GUTTER - RIGHT));
      held = event.clientX;
    });
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
    svg.addEventListener("wheel", event => {
      if (svg === groups && !event.shiftKey && !event.ctrlKey) return;
      event.preventDefault();
      zoom((event.deltaY || event.deltaX) > 0 ? 1.25 : 0.8, event.clientX - svg.getBoundingClientRect().left);
    }, { passive: false });
  };

  if (!data.windows.length) return;
  byId("timeline").hidden = false;
  data.windows.forEach((window, i) => {
    const option = document.createElement("option");
    option.value = i;
    option.textContent = window.start;
    byId("window").append(option);
  });
  byId("window").addEventListener("change", event => choose(+event.target.value));
  byId("in").addEventListener("click", () => zoom(0.5));
  byId("out").addEventListener("click", () => zoom(2));
  byId("fit").addEventListener("click", () => { fit(); draw(); });
  byId("rows").addEventListener("change", draw);
  byId("find").addEventListener("input", event => {
    found = event.target.value === "" ? null : +event.target.value;
    drawGroups();
    const node = groups.querySelector(".found");
    if (node) node.scrollIntoView({ block: "center" });
  });
  document.addEventListener("keydown", event => {
    if (event.target.matches("input, select")) return;
    const keys = { "+": () => zoom(0.5), "-": () => zoom(2), 0: () => { fit(); draw(); }, ArrowLeft: () => move(-0.1), ArrowRight: () => move(0.1) };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
    const row = event.target.closest("#windows tbody tr");
    if (row && event.key === "Enter") choose(+row.dataset.window);
  });
  byId("windows").addEventListener("click", event => {
    const row = event.target.closest("tbody tr");
    if (row) choose(+row.dataset.window);
  });
  addEventListener("resize", draw);
  watch(lanes);
  watch(groups);
  // The window that the address names, or where the tape differs, or the first in which anything was made.
  const named = data.windows.findIndex(window => "#" + window.start === location.hash);
  const differing = data.differs_at_ms == null ? -1 : data.windows.findLastIndex(window => window.from_ms <= data.differs_at_ms);
  const first = data.windows.findIndex(window => window.groups.length);
  choose([named, differing, first].find(number => number >= 0) ?? 0);
})();
