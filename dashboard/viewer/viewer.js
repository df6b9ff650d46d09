// Handles gestures: shows the chosen view and sends it to Python. `zoom` and `pick` are numbered, so that the answer to
// an older gesture never moves the view of a newer one.
const PAUSE = 150; // ms without wheel or key before a view is sent
const SECOND_CLICK = 250; // ms in which a click may become a double click

const viewers = new WeakMap(); // figure -> PlaneViewer
const groups = new Map(); // linked name -> viewers that move together

export default function ({ data, parentElement, setTriggerValue }) {
  const figure = parentElement.querySelector(".plane");
  if (!viewers.has(figure)) viewers.set(figure, new PlaneViewer(figure));
  const viewer = viewers.get(figure);
  const call = viewer.update(data, setTriggerValue);
  // Streamlit may run the cleanup of an outdated call: only that of the newest call counts.
  return () => { if (viewer.call === call) { viewer.end(); viewers.delete(figure); } };
}

class PlaneViewer extends PlaneDrawing {
  constructor(figure) {
    super(figure);
    this.call = 0;
    this.serial = 0; // number of the newest gesture sent to Python
    this.waiting = false; // for its answer
    this.touches = new Map(); // pressed pointer -> its position
    this.end = this.listen();
  }

  /** Take new data from Python, at the first run and after each rerun. */
  update(data, send) {
    this.data = data;
    this.send = send;
    this.serial = Math.max(this.serial, data.answered);
    this.join(data.linked);
    const settled = [this, ...this.peers()].every((viewer) => viewer.settled);
    if (!this.view) this.show(data.view);
    else if (settled && (this.waiting || !same(data.view, this.given))) {
      for (const viewer of [this, ...this.peers()]) if (!same(viewer.view, data.view)) viewer.show(data.view, true);
      this.waiting = false;
    }
    if (data.answered >= this.serial) this.pick = data.pick;
    this.given = data.view;
    this.drawData(data);
    this.call += 1;
    return this.call;
  }

  /** Whether Python has answered the newest gesture and none is in progress. */
  get settled() { return !this.timer && !this.gesture && this.data.answered >= this.serial; }

  // -- the view --

  /** Show a view at once or, `gently`, by an animation. */
  show(view, gently = false) {
    this.view = view;
    cancelAnimationFrame(this.frame);
    const from = this.shown, start = performance.now();
    const still = !gently || !from || matchMedia("(prefers-reduced-motion: reduce)").matches;
    const step = (now) => {
      const part = still ? 1 : Math.min(1, Math.max(0, (now - start) / 160)), ease = 1 - (1 - part) ** 3;
      this.shown = part === 1 ? view : view.map((end, i) => from[i] + (end - from[i]) * ease);
      this.draw();
      if (part < 1) this.frame = requestAnimationFrame(step);
    };
    step(start);
  }

  /** Show a view chosen here at once, in linked viewers too, and send it to Python after `pause` ms of quiet. */
  choose(view, { pause = 0, gently = false, reset = false } = {}) {
    if (!fits(view)) return;
    this.show(view, gently);
    for (const peer of this.peers()) peer.show(view, gently);
    clearTimeout(this.timer);
    const tell = () => {
      this.timer = 0;
      this.spoken.textContent = "centre " + this.placed(centreOf(view)) + `, width ${widthOf(view).toPrecision(3)}`;
      if (this.data.zooms) this.tell("zoom", reset ? { reset } : { x: view.slice(0, 2), y: view.slice(2) });
    };
    if (pause) this.timer = setTimeout(tell, pause); else tell();
  }

  tell(event, value) {
    this.serial += 1;
    this.waiting = true;
    this.send(event, { ...value, serial: this.serial });
  }

  goHome() {
    this.choose(this.data.home ?? (this.data.zooms ? this.view : this.data.frame), { gently: true, reset: true });
  }

  zoomBy(factor, world = centreOf(this.view), at = [this.size / 2, this.size / 2], gently = true) {
    this.choose(viewWith(world, at, widthOf(this.view) * factor, this.size), { pause: PAUSE, gently });
  }

  panBy(right, up) {
    const step = widthOf(this.view) / 8, [x0, x1, y0, y1] = this.view;
    this.choose([x0 + right * step, x1 + right * step, y0 + up * step, y1 + up * step], { pause: PAUSE, gently: true });
  }

  choosePick(world) {
    if (!this.data.picks) return;
    this.pick = world;
    this.draw();
    this.tell("pick", { x: world[0], y: world[1] });
  }

  /** Move together with the viewers of this name, and mark the point under a pointer over one of them. */
  join(name) {
    if (this.group === name) return;
    if (this.pointer) this.hover(null);
    groups.get(this.group)?.delete(this);
    this.group = name;
    if (name) groups.set(name, (groups.get(name) ?? new Set()).add(this));
    const under = this.peers().find((viewer) => viewer.pointer);
    this.ghost = under ? under.toWorld(under.pointer) : null;
  }

  peers() { return [...(groups.get(this.group) ?? [])].filter((viewer) => viewer !== this); }

  // -- gestures --

  listen() {
    const ending = new AbortController(), { signal } = ending, { picture, tools } = this;
    const on = (node, name, act, options) => node.addEventListener(name, act, { signal, ...options });
    on(picture, "pointerdown", (event) => this.press(event));
    on(picture, "pointermove", (event) => this.move(event));
    on(picture, "pointerup", (event) => this.release(event));
    on(picture, "pointercancel", (event) => { this.touches.delete(event.pointerId); this.abort(); });
    on(picture, "pointerleave", () => { if (!this.gesture) this.hover(null); });
    on(picture, "dblclick", () => { clearTimeout(this.click); this.goHome(); });
    on(picture, "wheel", (event) => this.turn(event), { passive: false });
    on(picture, "keydown", (event) => this.type(event));
    on(picture, "keyup", (event) => { if (event.key === " ") this.space = false; });
    on(picture, "focus", () => this.key(true));
    on(picture, "blur", () => { this.space = false; this.key(false); });
    on(tools.querySelector(".in"), "click", () => this.zoomBy(1 / 2));
    on(tools.querySelector(".out"), "click", () => this.zoomBy(2));
    on(tools.querySelector(".whole"), "click", () => this.goHome());
    const watch = new ResizeObserver(() => this.draw());
    watch.observe(picture);
    return () => {
      ending.abort();
      watch.disconnect();
      clearTimeout(this.timer);
      clearTimeout(this.click);
      cancelAnimationFrame(this.frame);
      this.join("");
    };
  }

  /** Move the pointer to this pixel, or nowhere; linked viewers mark the same point of the plane. */
  hover(at) {
    this.pointer = at;
    this.say();
    const world = at && this.toWorld(at);
    for (const peer of this.peers()) { peer.ghost = world; peer.say(); }
  }

  /** Whether the picture has keyboard focus: then a ring shows, and a crosshair where Enter picks. */
  key(has) {
    this.picture.classList.toggle("keyed", has);
    this.say();
  }

  place(event) {
    const sides = this.picture.getBoundingClientRect();
    return [event.clientX - sides.left, event.clientY - sides.top];
  }

  press(event) {
    if (event.button > 1) return;
    event.preventDefault(); // no autoscroll by the middle button, no drag of the picture
    this.picture.focus({ preventScroll: true });
    this.key(false);
    this.picture.setPointerCapture(event.pointerId);
    const at = this.place(event);
    this.touches.set(event.pointerId, at);
    this.show(this.view);
    const kind = this.touches.size > 1 ? "pinch" : event.button === 1 || event.shiftKey || this.space ? "pan" : "box";
    if (kind === "pinch") this.abort();
    this.gesture = { kind, from: this.view, at, world: this.toWorld(this.middle()), spread: this.spread() };
    this.picture.classList.toggle("moving", kind !== "box");
  }

  middle() {
    const all = [...this.touches.values()];
    return [0, 1].map((axis) => all.reduce((sum, at) => sum + at[axis], 0) / all.length);
  }

  spread() {
    const [a, b] = [...this.touches.values()];
    return b ? Math.max(10, Math.hypot(a[0] - b[0], a[1] - b[1])) : 1;
  }

  move(event) {
    const at = this.place(event), { gesture } = this;
    if (this.touches.has(event.pointerId)) this.touches.set(event.pointerId, at);
    this.hover(at);
    if (!gesture) return;
    if (gesture.kind === "box") {
      const square = this.square(gesture.at, at);
      for (const sides of this.box.children)
        for (const [name, value] of Object.entries(square)) sides.setAttribute(name, value);
      this.box.setAttribute("visibility", square.width < 5 ? "hidden" : "visible");
    } else {
      const width = widthOf(gesture.from) * (gesture.spread / this.spread());
      const view = viewWith(gesture.world, this.middle(), width, this.size);
      if (fits(view)) this.show(view);
      for (const peer of this.peers()) peer.show(this.view);
    }
  }

  /** The square from one corner towards the pointer, within the picture. */
  square(corner, at) {
    const signs = [0, 1].map((axis) => (at[axis] < corner[axis] ? -1 : 1));
    const room = Math.min(...[0, 1].map((axis) => (signs[axis] < 0 ? corner[axis] : this.size - corner[axis])));
    const side = Math.min(room, Math.max(Math.abs(at[0] - corner[0]), Math.abs(at[1] - corner[1])));
    const [x, y] = [0, 1].map((axis) => (signs[axis] < 0 ? corner[axis] - side : corner[axis]));
    return { x, y, width: side, height: side };
  }

  release(event) {
    const at = this.place(event), { gesture } = this;
    this.touches.delete(event.pointerId);
    if (!gesture) return;
    this.gesture = null;
    this.picture.classList.remove("moving");
    this.box.setAttribute("visibility", "hidden");
    if (gesture.kind !== "box") {
      this.touches.clear();
      if (!same(this.view, gesture.from)) this.choose(this.view);
    } else if (Math.hypot(at[0] - gesture.at[0], at[1] - gesture.at[1]) < 5) {
      clearTimeout(this.click);
      const world = this.toWorld(at);
      this.click = setTimeout(() => this.choosePick(world), SECOND_CLICK);
    } else {
      const { x, y, width } = this.square(gesture.at, at);
      const [left, bottom] = this.toWorld([x, y + width]), side = (width / this.size) * widthOf(this.view);
      if (width >= 5) this.choose([left, left + side, bottom, bottom + side], { gently: true });
    }
  }

  abort() {
    if (this.gesture) this.show(this.gesture.from);
    this.gesture = null;
    this.box.setAttribute("visibility", "hidden");
    this.picture.classList.remove("moving");
  }

  turn(event) {
    event.preventDefault();
    if (this.gesture) return;
    const lines = [1, 16, this.size][event.deltaMode], at = this.place(event);
    this.show(this.view);
    this.zoomBy(Math.exp(Math.max(-1000, Math.min(1000, event.deltaY * lines)) * 0.002), this.toWorld(at), at, false);
  }

  type(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowLeft: () => this.panBy(-1, 0), ArrowRight: () => this.panBy(1, 0),
      ArrowUp: () => this.panBy(0, 1), ArrowDown: () => this.panBy(0, -1),
      "+": () => this.zoomBy(1 / 2), "=": () => this.zoomBy(1 / 2), "-": () => this.zoomBy(2), "_": () => this.zoomBy(2),
      0: () => this.goHome(), Home: () => this.goHome(),
      Enter: () => this.choosePick(centreOf(this.view)),
      Escape: () => this.abort(),
      " ": () => { this.space = true; },
    }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation(); // the page has its own keys
    this.hover(null);
    this.key(true);
    act();
  }
}
