// A map of images with a card next to the image under the pointer; `choose` and `lasso` send choices to Python.
// Labels are set as text, never as markup: file and class names come from users.
const SIDE = 1000; // of the drawing, in its own units
const INK = "#23262d"; // labels and marks, which a dark theme inverts
const NEAR = 14; // CSS pixels: the pointer selects an image within this distance
const UNITS = 1e6; // of a line's coordinates per side of the frame; `UNITS` in viewer.py

const maps = new WeakMap(); // figure -> ImageMap

export default function ({ data, parentElement, setTriggerValue }) {
  const figure = parentElement.querySelector(".map");
  if (!maps.has(figure)) maps.set(figure, new ImageMap(figure));
  const map = maps.get(figure);
  const call = map.update(data, setTriggerValue);
  return () => { if (map.call === call) { map.end(); maps.delete(figure); } };
}

function make(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const circle = (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
const SHAPES = {
  square: (r) => `M${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  diamond: (r) => `M0 ${-r}L${r} 0L0 ${r}L${-r} 0z`,
};

class ImageMap {
  constructor(figure) {
    const find = (name) => figure.querySelector(name);
    Object.assign(this, { figure, sheet: find(".sheet"), drawing: find(".drawing"), card: find(".card"), said: find(".said") });
    Object.assign(this, { hint: find(".hint"), busy: find(".busy"), source: find(".source"), spoken: find(".spoken") });
    for (const name of ["fields", "lines", "points", "here"]) this[name] = find(`.${name}`);
    this.lassos = [...figure.querySelectorAll(".lasso")];
    this.call = 0;
    this.view = [0, 0, SIDE]; // left, top and width of the visible part, in units of the drawing
    this.at = -1; // the image that the card shows
    this.end = this.listen();
  }

  update(data, send) {
    this.send = send;
    const text = JSON.stringify({ ...data, busy: null });
    if (text !== this.text) {
      if (this.data && `${this.data.frame}` !== `${data.frame}`) this.view = [0, 0, SIDE];
      Object.assign(this, { text, data });
      this.drawAll();
    }
    this.sheet.parentElement.classList.toggle("dark", Boolean(data.dark));
    this.busy.textContent = data.busy?.text ?? "";
    const ways = [data.chooses && "click an image", data.lassoes && "draw around some", "wheel zooms", "double click shows all"];
    this.hint.textContent = ways.filter(Boolean).join(" · ");
    this.call += 1;
    return this.call;
  }

  // -- drawing --

  drawAll() {
    const { data } = this, { sheet } = data, [x0, x1, y0, y1] = data.frame;
    this.toUnits = ([x, y]) => [((x - x0) / (x1 - x0)) * SIDE, ((y1 - y) / (y1 - y0)) * SIDE];
    this.places = data.x.map((x, i) => this.toUnits([x, data.y[i]]));
    this.figure.style.setProperty("--side", `${data.side}px`);
    this.sheet.setAttribute("aria-label", data.alt);
    const rule = `.image { background-image: url("${sheet.sheet}") }`; // our own base64 needs no escape
    if (this.source.textContent !== rule) this.source.textContent = rule;
    const sides = { wide: sheet.wide, tall: sheet.tall, across: sheet.across, down: Math.ceil(data.rows.length / sheet.across) };
    for (const [name, value] of Object.entries(sides)) this.card.style.setProperty(`--${name}`, value);
    this.card.classList.toggle("smooth", sheet.smooth);
    this.fields.replaceChildren(...data.fields.map(({ source, box, smooth }) => {
      const [left, top] = this.toUnits([box[0], box[3]]), [right, bottom] = this.toUnits([box[1], box[2]]);
      const node = make("image", { href: source, x: left, y: top, width: right - left, height: bottom - top, preserveAspectRatio: "none" });
      node.style.imageRendering = smooth ? "auto" : "pixelated";
      return node;
    }));
    this.lines.replaceChildren();
    this.lines.setAttribute("transform", `matrix(${SIDE / UNITS} 0 0 ${-SIDE / UNITS} 0 ${SIDE})`);
    for (const { path, dash, colour, width, halo } of data.lines)
      for (const [name, stroke, points] of [["halo", "", halo], [dash, colour, width]]) {
        if (!points) continue;
        const line = make("path", { d: path, class: name });
        line.style.stroke = stroke;
        line.style.strokeWidth = `${2 * points}px`;
        this.lines.append(line);
      }
    this.points.replaceChildren(...data.points.map((point) => this.mark(point)));
    this.show(-1);
    this.draw();
  }

  mark({ label, colour, marker, size }) {
    const d = (SHAPES[marker] ?? circle)(size), open = marker === "ring" || marker === "cross", paths = [];
    if (open) paths.push(make("path", { d, class: "under" }));
    const shape = make("path", { d, class: open ? "open" : "" });
    shape.style[open ? "stroke" : "fill"] = colour && colour !== INK ? colour : "var(--ink)";
    const node = make("g", {}, ...paths, shape);
    if (label) node.append(make("text", { x: size + 4, y: 4.5 }, label));
    return node;
  }

  /** What changes with the view: marks keep their size on the screen. */
  draw() {
    const side = this.sheet.getBoundingClientRect().width, [left, top, width] = this.view;
    if (!side || !this.data) return;
    this.drawing.setAttribute("viewBox", `${left} ${top} ${width} ${width}`);
    const unit = width / side, small = Math.min(1, side / 600);
    const move = (node, [x, y]) => node.setAttribute("transform", `translate(${x} ${y}) scale(${unit * small})`);
    this.data.points.forEach(({ at }, i) => move(this.points.children[i], this.toUnits(at)));
    this.here.replaceChildren();
    if (this.at >= 0) {
      this.here.append(make("path", { d: circle(8) }));
      move(this.here, this.places[this.at]);
    }
    const line = (this.drawn ?? []).map((at) => this.fromScreen(at));
    for (const path of this.lassos) {
      path.setAttribute("d", line.length > 1 ? `M${line.map((at) => at.join(" ")).join("L")}Z` : "");
      path.style.strokeWidth = `${(path.classList.contains("under") ? 4 : 1.5) * unit}px`;
      path.style.strokeDasharray = path.classList.contains("line") ? `${5 * unit} ${4 * unit}` : "";
    }
    this.placeCard(side);
  }

  placeCard(side) {
    this.card.hidden = this.at < 0;
    if (this.at < 0) return;
    const [x, y] = this.toScreen(this.places[this.at]), { offsetWidth, offsetHeight } = this.card;
    const left = x + 16 + offsetWidth > side ? x - 16 - offsetWidth : x + 16;
    this.card.style.left = `${Math.max(2, left)}px`;
    this.card.style.top = `${Math.max(2, Math.min(side - offsetHeight - 2, y - offsetHeight / 2))}px`;
  }

  toScreen([x, y]) {
    const side = this.sheet.getBoundingClientRect().width, [left, top, width] = this.view;
    return [((x - left) / width) * side, ((y - top) / width) * side];
  }

  fromScreen([x, y]) {
    const side = this.sheet.getBoundingClientRect().width, [left, top, width] = this.view;
    return [left + (x / side) * width, top + (y / side) * width];
  }

  // -- choosing --

  /** Show the card of an image, or none. */
  show(index, aloud = false) {
    if (index === this.at) return;
    this.at = index;
    this.sheet.classList.toggle("near", index >= 0);
    if (index >= 0) {
      const image = this.card.querySelector(".image"), { across } = this.data.sheet;
      image.style.setProperty("--column", index % across);
      image.style.setProperty("--line", Math.floor(index / across));
      this.said.textContent = this.data.words[index];
      if (aloud) this.spoken.textContent = this.data.words[index];
    }
    this.draw();
  }

  /** The image nearest to a pixel, within reach of it. */
  nearest(at) {
    let best = -1, least = NEAR ** 2;
    this.places.forEach((place, i) => {
      const [x, y] = this.toScreen(place), far = (x - at[0]) ** 2 + (y - at[1]) ** 2;
      if (far < least) [best, least] = [i, far];
    });
    return best;
  }

  choose(index) {
    if (index >= 0 && this.data.chooses) this.send("choose", { row: this.data.rows[index] });
  }

  lasso(line) {
    const polygon = line.map((at) => this.fromScreen(at));
    const inside = this.places.map((place) => within(place, polygon));
    const rows = this.data.rows.filter((_, i) => inside[i]);
    if (rows.length && this.data.lassoes) this.send("lasso", { rows });
  }

  /** The image nearest to the one shown, in the direction of an arrow key. */
  step(right, down) {
    const [x, y] = this.at >= 0 ? this.places[this.at] : [this.view[0] + this.view[2] / 2, this.view[1] + this.view[2] / 2];
    let best = -1, least = Infinity;
    this.places.forEach(([px, py], i) => {
      const along = (px - x) * right + (py - y) * down, aside = Math.abs((px - x) * down) + Math.abs((py - y) * right);
      const cost = along + 3 * aside;
      if (i !== this.at && along > 0 && aside <= 2 * along && cost < least) [best, least] = [i, cost];
    });
    if (best >= 0) this.show(best, true);
  }

  zoom(factor, at) {
    const [x, y] = this.fromScreen(at), width = Math.min(SIDE, Math.max(SIDE / 60, this.view[2] * factor));
    const ratio = width / this.view[2];
    this.look(x - (x - this.view[0]) * ratio, y - (y - this.view[1]) * ratio, width);
  }

  look(left, top, width) {
    const inside = (value) => Math.min(SIDE - width, Math.max(0, value));
    this.view = [inside(left), inside(top), width];
    this.draw();
  }

  listen() {
    const ending = new AbortController(), { signal } = ending, { sheet } = this;
    const on = (name, act, options) => sheet.addEventListener(name, act, { signal, ...options });
    const place = ({ clientX, clientY }) => {
      const sides = sheet.getBoundingClientRect();
      return [clientX - sides.left, clientY - sides.top];
    };
    const middle = () => { const half = sheet.getBoundingClientRect().width / 2; return [half, half]; };
    let pressed = null; // pointer position and view when the button went down
    on("pointerdown", (event) => {
      if (event.button > 1) return;
      event.preventDefault();
      sheet.focus({ preventScroll: true });
      sheet.setPointerCapture(event.pointerId);
      pressed = { at: place(event), view: [...this.view], pans: event.button === 1 || event.shiftKey };
      this.drawn = pressed.pans ? null : [pressed.at];
      sheet.classList.toggle("moving", pressed.pans);
    });
    on("pointermove", (event) => {
      const at = place(event);
      if (!pressed) return this.show(this.nearest(at));
      if (pressed.pans) {
        const scale = pressed.view[2] / sheet.getBoundingClientRect().width;
        this.look(pressed.view[0] - (at[0] - pressed.at[0]) * scale, pressed.view[1] - (at[1] - pressed.at[1]) * scale, pressed.view[2]);
      } else {
        this.drawn.push(at);
        this.draw();
      }
    });
    on("pointerup", (event) => {
      if (!pressed) return;
      const line = this.drawn, far = line && Math.max(...line.map(([x, y]) => Math.hypot(x - pressed.at[0], y - pressed.at[1])));
      const still = line && far < 5;
      pressed = this.drawn = null;
      sheet.classList.remove("moving");
      if (still) this.choose(this.nearest(place(event)));
      else if (line) this.lasso(line);
      this.draw();
    });
    on("pointercancel", () => { pressed = this.drawn = null; this.draw(); });
    on("pointerleave", () => { if (!pressed) this.show(-1); });
    on("dblclick", () => this.look(0, 0, SIDE));
    on("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY * 0.002))), place(event));
    }, { passive: false });
    on("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const act = {
        ArrowLeft: () => this.step(-1, 0), ArrowRight: () => this.step(1, 0), ArrowUp: () => this.step(0, -1), ArrowDown: () => this.step(0, 1),
        Enter: () => this.choose(this.at), "+": () => this.zoom(0.5, middle()), "-": () => this.zoom(2, middle()),
        0: () => this.look(0, 0, SIDE), Escape: () => this.show(-1),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      event.stopPropagation(); // the page has its own keys
      act();
    });
    const watch = new ResizeObserver(() => this.draw());
    watch.observe(sheet);
    return () => { ending.abort(); watch.disconnect(); };
  }
}

/** Whether a point lies inside a polygon, by the parity of sides that a ray to the right crosses. */
function within([x, y], polygon) {
  let inside = false;
  polygon.forEach(([ax, ay], i) => {
    const [bx, by] = polygon[(i + polygon.length - 1) % polygon.length];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  });
  return inside;
}
