// What the pages share: the stream and token of the URL, and how state and numbers are shown.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** The stream's name, the last part of the page's path. */
export function streamOfPage() {
  const parts = location.pathname.split("/").filter((part) => part !== "");
  return decodeURIComponent(parts.at(-1) ?? "");
}

/** The options of the fragment: `#token=…&codec=…`. Browsers don't send it to any server. */
export function optionsOfPage() {
  return new URLSearchParams(location.hash.slice(1));
}

/** `#token=…` for links to other pages, or nothing. */
export function tokenFragment(token) {
  return token ? `#token=${encodeURIComponent(token)}` : "";
}

/** Headers with the token, when there is one. */
export function withToken(token, headers = {}) {
  return token ? { ...headers, Authorization: `Bearer ${token}` } : headers;
}

/** Shows a state; the tone is "good", "busy", "bad" or "". */
export function showState(element, text, tone = "") {
  if (element.textContent !== text) element.textContent = text;
  element.dataset.tone = tone;
}

/** Shows a notice, or hides it when there is no text. */
export function showNotice(element, text, tone = "") {
  element.hidden = !text;
  if (element.textContent !== (text ?? "")) element.textContent = text ?? "";
  element.dataset.tone = tone;
}

/** Fills the `<dd data-value="…">` below `element`. */
export function showNumbers(element, numbers) {
  for (const [name, value] of Object.entries(numbers)) {
    const place = element.querySelector(`[data-value="${name}"]`);
    if (place) place.textContent = value ?? "–";
  }
}

/** A message of the server as a sentence. */
export function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/** Bits per second in words. */
export function bitrateText(bits) {
  if (!Number.isFinite(bits)) return "–";
  if (bits >= 1e6) return `${(bits / 1e6).toFixed(2)} Mbit/s`;
  return `${Math.round(bits / 1e3)} kbit/s`;
}

/** Seconds in words. */
export function timeText(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

/** Turns a counter that only grows into its change per second, over the last `window` calls. */
export class Rate {
  #samples = [];
  #window;

  constructor(window = 1) {
    this.#window = window;
  }

  /** `time` in milliseconds. The first call has nothing to compare with and gives NaN. */
  next(count, time) {
    if (count < this.#samples.at(-1)?.count) this.#samples = [];
    this.#samples.push({ count, time });
    const first = this.#samples.at(-1 - this.#window) ?? this.#samples[0];
    this.#samples = this.#samples.slice(-this.#window);
    return time > first.time ? ((count - first.count) * 1000) / (time - first.time) : NaN;
  }
}
