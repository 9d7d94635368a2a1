// Age and compute time of the last minute, drawn anew when a frame has come.

const SPAN_MS = 60_000;
const LEFT = 58, BOTTOM = 16, TOP = 6;

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = []; // {at, age, compute}; null where there was no picture: the line is broken there
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    setInterval(() => this.draw(), 1000); // time goes on, also without frames
  }

  add(age, compute) {
    this.points.push({at: performance.now(), age, compute});
    this.draw();
  }

  gap() {
    if (this.points.at(-1)?.age !== null) this.points.push({at: performance.now(), age: null, compute: null});
  }

  draw() {
    const now = performance.now();
    while (this.points.length && this.points[0].at < now - SPAN_MS) this.points.shift();
    const {clientWidth: width, clientHeight: height} = this.canvas;
    const dots = devicePixelRatio || 1;
    this.canvas.width = width * dots;
    this.canvas.height = height * dots;
    const pen = this.canvas.getContext("2d");
    pen.scale(dots, dots);
    const top = ceiling(Math.max(10, ...this.points.map((point) => point.age ?? 0)));
    this.x = (at) => LEFT + (1 - (now - at) / SPAN_MS) * (width - LEFT - 4);
    this.y = (ms) => TOP + (1 - ms / top) * (height - TOP - BOTTOM);
    this.grid(pen, now, top, width, height);
    this.line(pen, "age", "--age");
    this.line(pen, "compute", "--compute");
  }

  grid(pen, now, top, width, height) {
    const quiet = colour("--quiet");
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = quiet;
    pen.strokeStyle = colour("--edge");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    for (const share of [0, 0.5, 1]) {
      const y = Math.round(this.y(top * share)) + 0.5;
      pen.beginPath();
      pen.moveTo(LEFT, y);
      pen.lineTo(width - 4, y);
      pen.stroke();
      pen.fillText(`${top * share} ms`, LEFT - 4, Math.max(y + 4, 10));
    }
    pen.textAlign = "center";
    for (const seconds of [60, 45, 30, 15, 0]) {
      const x = Math.min(Math.max(this.x(now - seconds * 1000), LEFT + 14), width - 14);
      pen.fillText(seconds ? `−${seconds} s` : "now", x, height - 3);
    }
  }

  line(pen, name, variable) {
    pen.strokeStyle = colour(variable);
    pen.lineWidth = 1.6;
    pen.beginPath();
    let drawing = false;
    for (const point of this.points) {
      if (point[name] === null) {
        drawing = false;
        continue;
      }
      if (drawing) pen.lineTo(this.x(point.at), this.y(point[name]));
      else pen.moveTo(this.x(point.at), this.y(point[name]));
      drawing = true;
    }
    pen.stroke();
  }
}

function ceiling(value) {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * magnitude).find((step) => step >= value);
}

function colour(variable) {
  return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}
