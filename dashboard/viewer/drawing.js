// Draws the data of `panel_data` in viewer.py for the current view. Together with viewer.js it is one module.
// Labels are set as text, never as markup: file and class names come from users.
const UNITS = 1e6; // of a line's coordinates per side of the frame; `UNITS` in viewer.py
const PAGE = 275; // points: width of a picture on paper, by which sizes in points scale with the picture
const NARROWEST = 1e-9; // as in viewer.py
const WIDEST = 1e6;

// -- views: [x0, x1, y0, y1], square; screen positions in pixels from the picture's top left corner --

const widthOf = (view) => view[1] - view[0];
const centreOf = (view) => [(view[0] + view[1]) / 2, (view[2] + view[3]) / 2];
const same = (a, b) => a && b && a.every((end, i) => end === b[i]);

/** The view of this width that shows the point `world` at the pixel `at` of a picture with side `size`. */
function viewWith(world, at, width, size) {
  const x = world[0] - (at[0] / size) * width, y = world[1] - (1 - at[1] / size) * width;
  return [x, x + width, y, y + width];
}

function fits(view) {
  const width = widthOf(view);
  return view.every(Number.isFinite) && width < WIDEST && width > NARROWEST * Math.max(1, ...view.map(Math.abs));
}

/** The largest 1, 2 or 5 times a power of ten within `span`. */
function roundLength(span) {
  const power = 10 ** Math.floor(Math.log10(span));
  return power * [5, 2, 1].find((step) => step * power <= span || step === 1);
}

const digitsOf = (step) => Math.max(0, Math.min(15, -Math.floor(Math.log10(step) + 1e-9)));
const written = (value, digits) => value.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1").replace("-", "−");
const raised = (power) => "10" + String(power).replace(/[-\d]/g, (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]);

/** Ticks at most `space` apart. Deep zooms count them from a base, which is shown next to the axis' name. */
function ticks(low, high, space) {
  const step = roundLength(space), digits = digitsOf(step), marks = [];
  let base = 0, unit = 1, note = "";
  if (digits > 3) {
    const power = Math.floor(Math.log10(high - low));
    unit = 10 ** power;
    base = Math.round((low + high) / 2 / unit / 10) * 10 * unit;
    note = `${written(base, digitsOf(unit * 10))} + … × ${raised(power)}`;
  }
  for (let i = Math.ceil((low - base) / step - 1e-6); base + i * step <= high + step * 1e-6; i += 1)
    marks.push([base + i * step, written((i * step) / unit, digitsOf(step / unit))]);
  return { marks, note };
}

/** The visible ones of the chart's own ticks; null if the viewer chooses them. */
function chosen(marks, low, high) {
  return marks && { marks: marks.filter(([value]) => value >= low && value <= high), note: "" };
}

function make(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}


function titled(text) {
  const title = make("title");
  title.textContent = text;
  return title;
}

const CROSS = "M-9 0h6M3 0h6M0 -9v6M0 3v6";
const SHAPES = {
  cross: (r) => `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`,
  square: (r) => `M${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  diamond: (r) => `M0 ${-r}L${r} 0L0 ${r}L${-r} 0z`,
  circle: (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
};

/** A mark around 0, 0 with its halo. */
function symbol(marker, radius, colour = "") {
  const d = (SHAPES[marker] ?? SHAPES.circle)(radius), open = marker === "ring" || marker === "cross";
  const mark = make("path", { d, class: open ? marker : "solid", "stroke-width": 2.3 });
  if (colour) mark.style[open ? "stroke" : "fill"] = colour;
  return [make("path", { d, class: "under", "stroke-width": open ? 5.4 : 3 }), mark];
}

class PlaneDrawing {
  constructor(figure) {
    this.figure = figure;
    for (const name of ["title", "axes", "picture", "fields", "lines", "marks", "bar", "here", "box", "tools",
      "progress", "readout", "busy", "spoken"]) this[name] = figure.querySelector("." + name);
    for (const name of ["fields", "lines", "marks", "bar", "here"]) this[name].replaceChildren();
    this.drawn = {}; // the data already in the page, as JSON
    this.pictures = []; // visible fields: an older one stays beneath until the newer has loaded
    this.marked = []; // nodes at a point of the plane
    this.here.append(make("path", { class: "under", d: CROSS }), make("path", { class: "line", d: CROSS }));
  }

  // -- world and screen: the only conversions between them --

  toScreen([x, y]) {
    const scale = this.size / widthOf(this.shown);
    return [(x - this.shown[0]) * scale, (this.shown[3] - y) * scale];
  }

  toWorld([left, top]) {
    const scale = widthOf(this.shown) / this.size;
    return [this.shown[0] + left * scale, this.shown[3] - top * scale];
  }

  // -- what changes with the data --

  drawData(data) {
    this.figure.style.setProperty("--side", `${data.side ?? 720}px`);
    this.figure.classList.toggle("bare", !data.axes.x && !data.axes.y);
    this.title.textContent = data.title;
    this.picture.setAttribute("aria-label", data.alt || "A plane of images");
    this.drawBusy(data.busy);
    if (this.changed("fields", data.fields)) this.drawFields(data.fields);
    if (this.changed("lines", data.lines)) this.drawLines(data.lines);
    this.draw();
  }

  changed(name, value) {
    const text = JSON.stringify(value), old = this.drawn[name];
    this.drawn[name] = text;
    return text !== old;
  }

  drawFields(fields) {
    const added = fields.map(({ source, box, columns, smooth }) => {
      const node = make("image", { preserveAspectRatio: "none", visibility: "hidden" });
      const loaded = new Promise((done) => { node.onload = done; node.onerror = done; });
      node.setAttribute("href", source);
      return { node, loaded, box, columns, smooth };
    });
    this.fields.append(...added.map((picture) => picture.node));
    this.pictures.push(...added);
    Promise.all(added.map((picture) => picture.loaded)).then(() => {
      const first = added.length ? this.pictures.indexOf(added[0]) : this.pictures.length;
      if (first < 0) return; // a newer picture loaded first
      for (const { node } of this.pictures.splice(0, first)) node.remove();
      for (const { node } of added) node.setAttribute("visibility", "visible");
      this.picture.dataset.loaded = Number(this.picture.dataset.loaded ?? 0) + 1;
    });
    this.readWords(fields.findLast((field) => field.words));
  }

  async readWords(field) {
    this.said = null;
    this.reading = field;
    if (!field) return;
    const bytes = Uint8Array.from(atob(field.words.codes), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const codes = new Uint16Array(await new Response(stream).arrayBuffer());
    if (this.reading !== field) return;
    this.said = ([x, y]) => {
      const [x0, x1, y0, y1] = field.box;
      const column = Math.floor(((x - x0) / (x1 - x0)) * field.columns);
      const row = Math.floor(((y - y0) / (y1 - y0)) * field.rows);
      const within = column >= 0 && column < field.columns && row >= 0 && row < field.rows;
      return within ? field.words.said[codes[row * field.columns + column]] : "";
    };
    this.say();
  }

  drawLines(lines) {
    this.lines.replaceChildren();
    for (const { path, role, dash, colour, width, halo } of lines)
      for (const [name, stroke, points] of [[`halo ${role}`, "", halo], [`${role} ${dash}`, colour, width]]) {
        if (!points) continue;
        const line = make("path", { d: path, class: name });
        line.style.stroke = stroke;
        line.style.strokeWidth = `calc(${points} * var(--point))`;
        this.lines.append(line);
      }
  }

  drawMarks({ lines, points, images, axes }) {
    this.marks.replaceChildren();
    this.marked = [];
    delete this.drawn.pick; // removed with the rest
    for (const { labels } of lines)
      for (const [x, y, label] of labels) this.mark([x, y], "level", make("text", { dy: 4 }, label));
    for (const { at, label, colour, marker, size } of points) {
      const words = marker === "none"; // the label alone, centred
      const group = this.mark(at, "point", ...(words ? [] : symbol(marker, (size * this.point) / 2, colour)));
      const beside = words ? { x: 0, y: 4, "text-anchor": "middle" } : { x: (size * this.point) / 2 + 5, y: 4 };
      if (label) group.append(make("text", beside, label));
    }
    for (const image of images) this.drawThumbnail(image, axes.unit);
  }

  drawThumbnail({ at, source, columns, label, colour, residual, size }, unit) {
    const side = size * this.point, half = side / 2, away = residual > 1e-3; // 1e-3: rounding, not a distance
    const note = away ? `${residual.toPrecision(3)} ${unit} off the plane`.replace("  ", " ") : "";
    const edge = make("rect", { class: "edge", x: -half - 2, y: -half - 2, width: side + 4, height: side + 4, rx: 4 });
    if (colour) edge.style.fill = colour;
    const picture = make("image", { href: source, x: -half, y: -half, width: side, height: side });
    picture.style.imageRendering = columns * 2 < side ? "pixelated" : "auto";
    const group = this.mark(at, away ? "anchor faint" : "anchor", edge, picture);
    if (label || note) group.append(titled([label, note].filter(Boolean).join(", ")));
    if (label) group.append(make("text", { y: half + 17 }, label));
    if (note) group.append(make("text", { class: "note", y: half + (label ? 31 : 17) }, note));
  }

  drawPick() {
    this.ring?.remove();
    this.marked = this.marked.filter(({ node }) => node !== this.ring);
    this.ring = this.pick ? this.mark(this.pick, "pick", ...symbol("ring", 6.5)) : null;
  }

  mark(at, name, ...children) {
    const node = make("g", { class: name }, ...children);
    this.marks.append(node);
    this.marked.push({ at, node });
    return node;
  }

  drawBusy(busy) {
    const known = busy && Number.isFinite(busy.fraction);
    const percent = known ? Math.round(100 * Math.min(1, Math.max(0, busy.fraction))) : 0;
    this.progress.classList.toggle("on", !!busy);
    this.progress.classList.toggle("vague", !!busy && !known);
    this.progress.firstElementChild.style.width = known ? `${percent}%` : "";
    this.busy.textContent = busy?.text ?? "";
    this.busy.title = this.busy.textContent;
    this.progress.setAttribute("aria-label", busy?.text ?? "idle");
    if (known) this.progress.setAttribute("aria-valuenow", percent); else this.progress.removeAttribute("aria-valuenow");
  }

  // -- what changes with the view --

  draw() {
    this.size = this.picture.getBoundingClientRect().width;
    if (!this.size || !this.shown || !this.data) return;
    this.point = Math.min(2.4, Math.max(1.4, this.size / PAGE)); // pixels per point
    this.figure.style.setProperty("--point", `${this.point}px`);
    const { lines, points, images, frame } = this.data;
    if (this.changed("marks", [lines.map((line) => line.labels), points, images, this.point])) this.drawMarks(this.data);
    if (this.changed("pick", this.pick ?? null)) this.drawPick();
    for (const { node, box, columns, smooth } of this.pictures) {
      const [left, top] = this.toScreen([box[0], box[3]]), [right, bottom] = this.toScreen([box[1], box[2]]);
      for (const [name, value] of Object.entries({ x: left, y: top, width: right - left, height: bottom - top }))
        node.setAttribute(name, value);
      node.style.imageRendering = !smooth && right - left >= columns ? "pixelated" : "auto";
    }
    const [x0, x1, y0] = frame, [left, bottom] = this.toScreen([x0, y0]);
    const unit = (this.size / widthOf(this.shown)) * ((x1 - x0) / UNITS);
    this.lines.setAttribute("transform", `matrix(${unit} 0 0 ${-unit} ${left} ${bottom})`);
    for (const { at, node } of this.marked) node.setAttribute("transform", `translate(${this.toScreen(at)})`);
    this.drawAxes();
    this.drawBar();
    this.say();
  }

  drawAxes() {
    const [x0, x1, y0, y1] = this.shown, { size } = this, left = this.picture.offsetLeft, top = this.picture.offsetTop;
    const space = (x1 - x0) * Math.min(0.5, 150 / size), { x: across, y: along } = this.data.axes;
    const { x: columns, y: rows } = this.data.ticks, edge = top + size, nodes = [];
    const [below, beside] = [chosen(columns, x0, x1) ?? ticks(x0, x1, space), chosen(rows, y0, y1) ?? ticks(y0, y1, space)];
    for (const [value, text] of below.marks) {
      const x = left + this.toScreen([value, y0])[0];
      nodes.push(make("path", { d: `M${x} ${edge}v4` }), make("text", { x, y: edge + 16, "text-anchor": "middle" }, text));
    }
    for (const [value, text] of beside.marks) {
      const y = top + this.toScreen([x0, value])[1];
      const label = make("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, text);
      nodes.push(make("path", { d: `M${left} ${y}h-4` }), label);
    }
    const name = (words, note) => [words, note].filter(Boolean).join(" · ");
    const middle = { class: "name", "text-anchor": "middle" };
    nodes.push(make("text", { ...middle, x: left + size / 2, y: edge + 34 }, name(across, below.note)));
    const upright = `translate(10 ${top + size / 2}) rotate(-90)`;
    nodes.push(make("text", { ...middle, transform: upright }, name(along, beside.note)));
    this.axes.replaceChildren(...nodes);
  }

  drawBar() {
    this.bar.replaceChildren();
    if (!this.data.scale_bar) return;
    const width = widthOf(this.shown), length = roundLength(width / 4), y = this.size - 14;
    const d = `M14 ${y}h${(length / width) * this.size}`, digits = digitsOf(length);
    const text = digits > 3 ? `${written(length / 10 ** -digits, 0)} × ${raised(-digits)}` : written(length, digits);
    const words = make("text", { x: 14, y: y - 7 }, `${text} ${this.data.scale_bar}`);
    this.bar.append(make("path", { d }), words);
    const wide = Math.max((length / width) * this.size, words.getComputedTextLength());
    this.bar.prepend(make("rect", { x: 8, y: y - 21, width: wide + 12, height: 27, rx: 2 })); // no line crosses the label
  }

  /** The status line: what lies under the pointer, or under the crosshair while the picture has keyboard focus. */
  say() {
    if (!this.data || !this.size) return;
    const centred = !this.pointer && !this.ghost && this.picture.classList.contains("keyed");
    const pointed = this.pointer ? this.toWorld(this.pointer) : this.ghost;
    const world = pointed ?? (centred ? centreOf(this.shown) : null);
    this.here.classList.toggle("shown", !this.pointer && !!world);
    if (world) this.here.setAttribute("transform", `translate(${this.toScreen(world)})`);
    this.readout.textContent = world ? [this.placed(world), this.said?.(world)].filter(Boolean).join(" · ") : this.hint();
  }

  placed(world) {
    if (this.figure.classList.contains("bare")) return "";
    if (this.data.ticks.x?.length && this.data.ticks.y?.length) { // a matrix: columns and rows are counted, some from the top
      const named = (axis, at) => `${this.data.axes[axis]} ${Math.round(axis === "y" && this.data.ticks.y[0][0] > this.data.ticks.y.at(-1)[0] ? -at : at)}`;
      return `${named("x", world[0])}, ${named("y", world[1])}`;
    }
    const digits = digitsOf(widthOf(this.shown) / this.size);
    const [x, y] = world.map((value) => written(value, digits));
    return `x ${x}, y ${y} ${this.data.axes.unit}`.trim();
  }

  hint() {
    const words = this.size < 440 ? "drag or wheel zooms · 0 shows all" : "drag a box or turn the wheel to zoom · arrows move · 0 shows all";
    return this.data.picks ? `${this.size < 440 ? "click picks" : "click to pick"} · ${words}` : words;
  }
}
