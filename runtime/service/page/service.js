// Talks to the service: every request carries the token, if one is needed; the stream asks for one message at a time.

const TOKEN = "inloco-token";

/** The token of this tab: from #token=… once, then kept for the tab's life. It never stands in an address sent out. */
export function token() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(TOKEN, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN) ?? "";
}

export function setToken(text) {
  sessionStorage.setItem(TOKEN, text.trim());
}

/** As fetch; an answer that is a refusal is thrown as an Error with its sentence and `status`. */
export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token()) headers.set("Authorization", `Bearer ${token()}`);
  const answer = await fetch(path, {...options, headers, credentials: "omit"});
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  const error = new Error(body.message ?? `${path}: ${answer.status}`);
  error.status = answer.status;
  throw error;
}

/** Pictures as they come. `onMessage(head, blobs)`; `onLost()` when nothing was heard for SILENCE_MS. */
export class Stream {
  static SILENCE_MS = 1500;

  constructor(onMessage, onLost) {
    this.onMessage = onMessage;
    this.onLost = onLost;
    this.views = ["original", "translated"];
    this.attempt = 0;
    this.open();
  }

  show(views) {
    if (views.join() === this.views.join()) return;
    this.views = views;
    this.attempt = 0;
    this.open();
  }

  open() {
    this.drop();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const secret = token() ? [`token.${base64url(token())}`] : [];
    const socket = new WebSocket(`${scheme}://${location.host}/streams?views=${this.views}`, ["inloco", ...secret]);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.take(socket, event.data);
    socket.onclose = () => this.lose(socket);
    this.socket = socket;
    this.listen();
  }

  async take(socket, buffer) {
    if (socket !== this.socket) return;
    this.attempt = 0;
    this.listen();
    const length = new DataView(buffer).getUint32(0);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const blobs = {};
    let at = 4 + length;
    head.views.forEach((view, index) => {
      if (index >= head.bytes.length) return;
      blobs[view] = new Blob([new Uint8Array(buffer, at, head.bytes[index])], {type: "image/jpeg"});
      at += head.bytes[index];
    });
    await this.onMessage(head, blobs);
    if (head.bytes.length && socket.readyState === WebSocket.OPEN) socket.send("next");
  }

  listen() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lose(this.socket), Stream.SILENCE_MS);
  }

  lose(socket) {
    if (socket !== this.socket) return;
    this.drop();
    this.onLost();
    this.attempt += 1;
    const pause = Math.min(5000, 250 * 2 ** this.attempt) * (0.5 + Math.random() / 2);
    this.retry = setTimeout(() => this.open(), pause);
  }

  drop() {
    clearTimeout(this.silence);
    clearTimeout(this.retry);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }
}

function base64url(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
