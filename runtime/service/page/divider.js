// The line between original and translated: dragged, or moved by the keys of every slider.

const STEP = 2, LEAP = 10; // per cent

export class Divider {
  constructor(stage, handle, front) {
    this.stage = stage;
    this.handle = handle;
    this.front = front;
    this.at = 50;
    stage.addEventListener("pointerdown", (event) => this.grab(event));
    stage.addEventListener("pointermove", (event) => this.held && this.follow(event));
    for (const end of ["pointerup", "pointercancel"]) {
      stage.addEventListener(end, () => { this.held = false; });
    }
    handle.addEventListener("keydown", (event) => this.key(event));
    this.place(50);
  }

  grab(event) {
    if (event.button !== 0 || this.handle.hidden) return;
    // A finger may scroll the page over the pictures; on the handle it drags.
    if (event.pointerType === "touch" && !this.handle.contains(event.target)) return;
    this.held = true;
    this.stage.setPointerCapture(event.pointerId);
    this.follow(event);
    event.preventDefault();
    this.handle.focus({preventScroll: true});
  }

  follow(event) {
    const box = this.stage.getBoundingClientRect();
    this.place(((event.clientX - box.left) / box.width) * 100);
  }

  /** Answers the keys of an ARIA slider; whether it knew the key. */
  key(event) {
    const step = event.shiftKey ? LEAP : STEP;
    const moves = {ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step,
      PageDown: -LEAP, PageUp: LEAP, Home: -100, End: 100};
    if (!(event.key in moves) || this.handle.hidden) return false;
    this.place(this.at + moves[event.key]);
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  place(share) {
    this.at = Math.min(100, Math.max(0, share));
    this.handle.style.left = `${this.at}%`;
    this.handle.setAttribute("aria-valuenow", Math.round(this.at));
    this.front.style.clipPath = `inset(0 0 0 ${this.at}%)`;
  }

  /** Whether there is anything to divide. */
  show(divides) {
    this.handle.hidden = !divides;
    this.front.style.clipPath = divides ? `inset(0 0 0 ${this.at}%)` : "none";
  }
}
