// A small low-latency HLS player (RFC 8216, draft-pantos-hls-rfc8216bis) for the playlists of this server:
// parts of CMAF segments, video and audio apart, appended to a MediaSource as soon as they are made; or the
// browser's own player where there is no MediaSource.

import { problemOf, request } from "./session.js";

/** Without parts, how far behind the newest segment playback begins, in target durations. */
const START_BEHIND = 1.5;

/** So much further behind than it should be, in seconds, playback goes faster, and jumps ahead. */
const CATCH_UP = 0.25;
const TOO_FAR_BEHIND = 1.5;

/** The fastest playback. Voices still sound right. */
const FASTEST = 1.1;

/** Each time that nothing is left to play, playback stays further behind by so much, in seconds, up to a limit. */
const STALL_STEP = 0.3;
const MOST_STALL_STEPS = 4;

/** After so long without a stall, in milliseconds, one is forgotten. */
const STALL_MEMORY = 20_000;

/** What has been played is kept for so long, in seconds. */
const KEEP_BEHIND = 12;

/** The longest pause after a failure, in milliseconds. */
const LONGEST_PAUSE = 8000;

/** How often to look whether a stream that ended is back, in milliseconds. */
const COMEBACK_PAUSE = 3000;

/**
 * Plays `/hls/{stream}/index.m3u8` in a video element.
 *
 * Events: `state` (detail: { state, problem }): "connecting", "playing" (there is media; calling
 * `play()` is up to the page, as browsers may want a tap first), "waiting" (before the next attempt),
 * "ended" or "stopped".
 */
export class HlsPlayer extends EventTarget {
  #video;
  #url;
  #token;
  #abort = null;
  #mediaUrl = null;
  #playlist = "";
  #renditions = [];
  #state = "stopped";
  #stalls = 0;
  #lastStall = 0;
  #pace = null;
  /** Playback has its place behind the newest media, and moves from there slowly. */
  #settled = false;

  constructor(video, url, { token = "" } = {}) {
    super();
    this.#video = video;
    this.#url = new URL(url, location.href).href;
    this.#token = token;
  }

  get state() {
    return this.#state;
  }

  /** How far the picture is behind the clock of the server's playlists, in seconds, or NaN. */
  get latency() {
    const time = this.#video.currentTime;
    for (const { dates } of this.#renditions) {
      const last = dates.findLast(({ start }) => start <= time);
      if (last) return (Date.now() - last.date) / 1000 - (time - last.start);
    }
    return NaN;
  }

  /** The codecs of what plays, as in `avc1.42c01e, opus`. */
  get codecs() {
    return this.#renditions.map(({ codecs }) => codecs).join(", ");
  }

  /** Bytes of media loaded since the start. */
  get bytesLoaded() {
    return this.#renditions.reduce((sum, rendition) => sum + rendition.bytes, 0);
  }

  /** Starts, and tries again until `stop`. */
  async start() {
    await this.stop();
    const abort = new AbortController();
    this.#abort = abort;
    let failures = 0;
    while (!abort.signal.aborted) {
      this.#setState("connecting");
      try {
        await this.#play(abort.signal, () => (failures = 0));
        if (!abort.signal.aborted) this.#setState("ended");
      } catch (error) {
        if (abort.signal.aborted) return;
        if (error instanceof TimelineBreak) {
          this.#endPace();
          continue;
        }
        const problem = problemOf(error);
        this.#release();
        this.#setState(problem.final ? "stopped" : "waiting", { problem });
        if (problem.final) return;
        const pause = problem.retryAfter ?? Math.min(LONGEST_PAUSE, 500 * 2 ** failures);
        failures += 1;
        await sleep(pause, abort.signal);
        continue;
      }
      await this.#comeback(abort.signal);
    }
  }

  /** Stops loading and lets go of the video element. */
  async stop() {
    this.#abort?.abort();
    this.#abort = null;
    this.#release();
    if (this.#state !== "stopped") this.#setState("stopped");
  }

  async #play(signal, succeeded) {
    const text = await this.#load(this.#url, signal, "text");
    const { video, audio } = parseMultivariant(text, this.#url);
    const wanted = [video, audio].filter((rendition) => rendition !== null);
    this.#playlist = wanted[0].url;
    const Source = globalThis.ManagedMediaSource ?? globalThis.MediaSource;
    if (!Source) {
      await this.#playNatively(signal, succeeded);
      return;
    }
    const missing = wanted.find(({ type }) => !Source.isTypeSupported(type));
    if (missing) throw new Error(`This browser can't play ${missing.type}.`);
    const source = await this.#open(Source, signal);
    this.#renditions = wanted.map((each) => new Rendition(each, source.addSourceBuffer(each.type)));
    const begun = () => {
      succeeded();
      this.#begin();
    };
    // One rendition that fails must not leave the other running, to be played twice.
    const group = new AbortController();
    signal.addEventListener("abort", () => group.abort(), { once: true });
    const loops = this.#renditions.map((each) => this.#follow(each, group.signal, begun));
    try {
      await Promise.all(loops);
    } catch (error) {
      group.abort();
      await Promise.allSettled(loops);
      throw error;
    }
    if (source.readyState === "open") source.endOfStream();
  }

  /** Browsers without MediaSource play HLS themselves; a header can't be given to them. */
  async #playNatively(signal, succeeded) {
    this.#video.src = this.#url;
    await new Promise((resolve, reject) => {
      const ready = () => {
        succeeded();
        this.#setState("playing");
      };
      const failed = () => reject(new Error("The browser's own HLS player failed."));
      this.#video.addEventListener("loadedmetadata", ready, { signal });
      this.#video.addEventListener("ended", resolve, { signal });
      this.#video.addEventListener("error", failed, { signal });
      signal.addEventListener("abort", resolve, { once: true });
    });
  }

  /**
   * Waits while there is nothing but the playlist of the broadcast that has ended, which the server
   * keeps for a while. Any other answer is for the next attempt to deal with.
   */
  async #comeback(signal) {
    const played = this.#renditions[0]?.newest;
    while (!signal.aborted) {
      await sleep(COMEBACK_PAUSE, signal);
      try {
        const text = await this.#load(this.#playlist, signal, "text");
        const { ended, segments } = parseMedia(text, this.#playlist);
        if (!ended && segments.at(-1)?.sequence !== played) return;
      } catch (error) {
        // What can't be asked may still be the same.
        if (![0, 429].includes(problemOf(error).status)) return;
      }
    }
  }

  async #open(Source, signal) {
    // After a break of the timeline there is an older one.
    if (this.#mediaUrl) URL.revokeObjectURL(this.#mediaUrl);
    const source = new Source();
    this.#mediaUrl = URL.createObjectURL(source);
    // A managed source starts only when remote playback is off.
    this.#video.disableRemotePlayback = true;
    this.#video.srcObject = null;
    this.#video.src = this.#mediaUrl;
    await new Promise((resolve, reject) => {
      source.addEventListener("sourceopen", resolve, { once: true, signal });
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    return source;
  }

  /** Loads the playlist of a rendition again and again, and all that is new in it. */
  async #follow(rendition, signal, begun) {
    let url = rendition.url;
    for (;;) {
      const asked = performance.now();
      let text;
      try {
        text = await this.#load(url, signal, "text");
      } catch (error) {
        // The publisher is away, and nothing new has come for as long as the server waits.
        if (problemOf(error).status !== 503 || rendition.newest === undefined) throw error;
        await sleep(problemOf(error).retryAfter ?? 1000, signal);
        continue;
      }
      const list = parseMedia(text, rendition.url);
      rendition.handleList(list);
      let fresh = false;
      for (const unit of rendition.missing(list)) {
        const load = (url) => this.#load(url, signal, "arrayBuffer");
        await rendition.append(unit, load);
        fresh = true;
        begun();
        await rendition.trim(this.#video.currentTime - KEEP_BEHIND);
      }
      if (list.ended) return;
      if (list.canBlock && rendition.next) {
        // The server holds the request until there is more.
        url = new URL(rendition.url);
        url.searchParams.set("_HLS_msn", rendition.next.sequence);
        url.searchParams.set("_HLS_part", rendition.next.part);
        url = url.href;
        continue;
      }
      // Half the target duration when nothing was new (RFC 8216, section 6.3.4).
      const pause = list.targetDuration * (fresh ? 700 : 350) - (performance.now() - asked);
      await sleep(Math.max(pause, 150), signal);
    }
  }

  /** Moves to where all renditions have media, as near the newest as the server says. */
  #begin() {
    const span = this.#span();
    if (!span) return;
    const video = this.#video;
    const outside = video.currentTime < span.from || video.currentTime > span.to;
    if (outside && this.#state !== "playing") {
      video.currentTime = Math.max(span.from, span.to - this.#target());
    }
    if (this.#state === "playing") return;
    this.#setState("playing");
    this.#pace = setInterval(() => this.#keepPace(), 250);
    video.addEventListener("waiting", this.#onWaiting);
  }

  /** What all renditions have at the end of their buffers. */
  #span() {
    const empty = this.#renditions.some(({ buffer }) => buffer.buffered.length === 0);
    if (empty || this.#renditions.length === 0) return null;
    const ranges = this.#renditions.map(({ buffer }) => lastRange(buffer.buffered));
    const [from, to] = [Math.max(...ranges.map((r) => r.start)), Math.min(...ranges.map((r) => r.end))];
    return to > from ? { from, to } : null;
  }

  /** How far behind the end of the buffer playback should be, in seconds. */
  #target() {
    const holdBack = Math.max(...this.#renditions.map(({ holdBack }) => holdBack));
    return holdBack + this.#stalls * STALL_STEP;
  }

  /** Plays a little faster when it is too far behind, and jumps when that would take too long. */
  #keepPace() {
    const [span, video] = [this.#span(), this.#video];
    if (!span || video.paused) return;
    if (this.#stalls > 0 && performance.now() - this.#lastStall > STALL_MEMORY) {
      this.#stalls -= 1;
      this.#lastStall = performance.now();
    }
    const excess = span.to - video.currentTime - this.#target();
    const far = excess > (this.#settled ? TOO_FAR_BEHIND : CATCH_UP);
    this.#settled = true;
    if (far || video.currentTime < span.from) {
      video.currentTime = Math.max(span.from, span.to - this.#target());
      video.playbackRate = 1;
    } else if (excess > CATCH_UP) {
      video.playbackRate = FASTEST;
    } else if (excess < 0) {
      video.playbackRate = 1;
    }
  }

  #onWaiting = () => {
    const span = this.#span();
    // A seek waits too, but not for media that has not come.
    if (!span || this.#video.seeking || span.to - this.#video.currentTime > 0.5) return;
    this.#stalls = Math.min(this.#stalls + 1, MOST_STALL_STEPS);
    this.#lastStall = performance.now();
  };

  async #load(url, signal, form) {
    const headers = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
    const response = await request(url, { headers, signal });
    return response[form]();
  }

  #release() {
    this.#renditions = [];
    this.#endPace();
    if (this.#mediaUrl) URL.revokeObjectURL(this.#mediaUrl);
    if (this.#mediaUrl || this.#video.src) {
      this.#video.removeAttribute("src");
      this.#video.load();
    }
    this.#mediaUrl = null;
  }

  #endPace() {
    clearInterval(this.#pace);
    this.#settled = false;
    this.#video.removeEventListener("waiting", this.#onWaiting);
    this.#video.playbackRate = 1;
  }

  #setState(state, detail = {}) {
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, ...detail } }));
  }
}

/** The media goes on under another clock, so that a new MediaSource is needed. */
class TimelineBreak extends Error {}

/** One of video and audio: its playlist, its buffer, and what has gone into it. */
class Rendition {
  /** How far behind the newest media a player should stay, in seconds. */
  holdBack = 3;
  bytes = 0;
  /** Where on the media timeline a segment or part starts, and when it was made. */
  dates = [];
  /** The segment and the part of it that come next. */
  next = null;
  #map = null;

  constructor({ url, codecs }, buffer) {
    this.url = url;
    this.codecs = codecs;
    this.buffer = buffer;
  }

  /** The sequence number of the newest segment that was played, if any. */
  get newest() {
    return this.next === null ? undefined : this.next.sequence - (this.next.part === 0 ? 1 : 0);
  }

  handleList(list) {
    this.holdBack = list.partHoldBack ?? START_BEHIND * list.targetDuration;
  }

  /** The parts, or segments where parts aren't listed, that are to be loaded; at first the newest ones. */
  missing(list) {
    const units = list.segments.flatMap((segment) => unitsOf(segment));
    if (this.next === null) return this.#first(units);
    const newest = list.segments.at(-1)?.sequence ?? -1;
    // A list that begins again belongs to a server that did.
    if (newest < this.next.sequence - 1) throw new TimelineBreak();
    const fresh = units.filter(({ sequence, part }) => {
      if (sequence !== this.next.sequence) return sequence > this.next.sequence;
      return part === null || part >= this.next.part;
    });
    if (fresh.some(({ discontinuity }) => discontinuity)) throw new TimelineBreak();
    // Too late to load all of it.
    if (fresh.reduce((sum, { duration }) => sum + duration, 0) > 5 * list.targetDuration) throw new TimelineBreak();
    return fresh;
  }

  /** From the last one on that can be decoded alone and is far enough from the end. */
  #first(units) {
    const start = Math.max(0, units.findLastIndex(({ discontinuity }) => discontinuity));
    const recent = units.slice(start);
    let behind = 0;
    for (let index = recent.length - 1; index >= 0; index -= 1) {
      behind += recent[index].duration;
      if (behind >= this.holdBack && recent[index].independent) return recent.slice(index);
    }
    return recent;
  }

  async append(unit, load) {
    if (unit.map && unit.map !== this.#map) {
      await this.#put(await load(unit.map));
      this.#map = unit.map;
    }
    const data = await load(unit.url);
    this.bytes += data.byteLength;
    await this.#put(data);
    const { sequence, part } = unit;
    this.next = unit.last ? { sequence: sequence + 1, part: 0 } : { sequence, part: part + 1 };
    if (this.buffer.buffered.length === 0 || !unit.date || unit.duration === 0) return;
    const start = lastRange(this.buffer.buffered).end - unit.duration;
    this.dates.push({ start, date: unit.date });
    this.dates.splice(0, this.dates.length - 64);
  }

  async trim(before) {
    if (this.buffer.buffered.length === 0 || this.buffer.buffered.start(0) >= before - 2) return;
    this.buffer.remove(0, before);
    await updated(this.buffer);
  }

  async #put(data) {
    this.buffer.appendBuffer(data);
    await updated(this.buffer);
  }
}

/** Reads a multivariant playlist: its first variant and that one's audio. */
export function parseMultivariant(text, base) {
  const lines = linesOf(text);
  const at = lines.findIndex((line) => line.startsWith("#EXT-X-STREAM-INF:"));
  const uri = lines.slice(at + 1).find((line) => !line.startsWith("#"));
  if (at < 0 || !uri) throw new Error("The playlist has no variant.");
  const variant = attributes(lines[at]);
  const codecs = (variant.CODECS ?? "").split(",").map((codec) => codec.trim());
  const isAudio = (codec) => /^(opus|mp4a|flac|ac-3|ec-3)/i.test(codec);
  const [ofAudio, ofVideo] = [codecs.find(isAudio), codecs.find((codec) => codec && !isAudio(codec))];
  const groups = lines.filter((line) => line.startsWith("#EXT-X-MEDIA:")).map(attributes);
  const group = groups.find((media) => media.TYPE === "AUDIO" && media["GROUP-ID"] === variant.AUDIO);
  const rendition = (kind, codecs, path) => ({
    url: new URL(path, base).href,
    type: `${kind}/mp4; codecs="${codecs}"`,
    codecs,
  });
  if (!ofVideo) return { video: null, audio: rendition("audio", ofAudio, uri) };
  if (!group?.URI) {
    const all = ofAudio ? `${ofVideo},${ofAudio}` : ofVideo;
    return { video: rendition("video", all, uri), audio: null };
  }
  return { video: rendition("video", ofVideo, uri), audio: rendition("audio", ofAudio, group.URI) };
}

/** Reads a media playlist. */
export function parseMedia(text, base) {
  const list = { targetDuration: 2, ended: false, segments: [], canBlock: false, partHoldBack: undefined };
  const fresh = () => ({ duration: 0, discontinuity: false, parts: [], url: null });
  let [sequence, map, date, segment] = [0, null, null, fresh()];
  const add = () => {
    list.segments.push({ ...segment, sequence, map, date });
    sequence += 1;
    // A segment without a date of its own follows the one before.
    date = date === null ? null : date + segment.duration * 1000;
    segment = fresh();
  };
  for (const line of linesOf(text)) {
    const value = line.slice(line.indexOf(":") + 1);
    if (line.startsWith("#EXT-X-TARGETDURATION:")) list.targetDuration = Math.min(Number(value) || 2, 30);
    else if (line.startsWith("#EXT-X-MEDIA-SEQUENCE:")) sequence = Number(value) || 0;
    else if (line.startsWith("#EXT-X-SERVER-CONTROL:")) {
      const control = attributes(line);
      list.canBlock = control["CAN-BLOCK-RELOAD"] === "YES";
      list.partHoldBack = Number(control["PART-HOLD-BACK"]) || undefined;
    } else if (line.startsWith("#EXT-X-PART:")) {
      const part = attributes(line);
      const url = new URL(part.URI, base).href;
      const independent = part.INDEPENDENT === "YES";
      segment.parts.push({ url, duration: Number(part.DURATION) || 0, independent });
    } else if (line.startsWith("#EXT-X-MAP:")) map = new URL(attributes(line).URI, base).href;
    else if (line.startsWith("#EXT-X-PROGRAM-DATE-TIME:")) date = Date.parse(value);
    else if (line.startsWith("#EXTINF:")) segment.duration = Number.parseFloat(value) || 0;
    else if (line === "#EXT-X-DISCONTINUITY") segment.discontinuity = true;
    else if (line === "#EXT-X-ENDLIST") list.ended = true;
    else if (!line.startsWith("#")) {
      segment.url = new URL(line, base).href;
      add();
    }
  }
  if (segment.parts.length > 0) add();
  return list;
}

/** What is loaded of a segment: its parts, where they are listed, or all of it. */
function unitsOf({ sequence, url, parts, map, date, duration, discontinuity }) {
  if (parts.length === 0) {
    return [{ sequence, part: null, url, map, date, duration, discontinuity, independent: true, last: true }];
  }
  let start = 0;
  return parts.map((part, index) => {
    const unit = {
      ...part,
      sequence,
      part: index,
      map,
      date: date === null ? null : date + start * 1000,
      discontinuity: discontinuity && index === 0,
      last: url !== null && index === parts.length - 1,
    };
    start += part.duration;
    return unit;
  });
}

function linesOf(text) {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  return lines.filter((line) => line !== "");
}

/** The attribute list of a tag (RFC 8216, section 4.2). */
function attributes(line) {
  const pairs = line.matchAll(/([A-Z0-9-]+)=("[^"]*"|[^",]*)/g);
  return Object.fromEntries([...pairs].map(([, key, value]) => [key, value.replace(/"/g, "")]));
}

function lastRange(ranges) {
  const last = ranges.length - 1;
  return { start: ranges.start(last), end: ranges.end(last) };
}

async function updated(buffer) {
  if (!buffer.updating) return;
  await new Promise((resolve, reject) => {
    buffer.addEventListener("updateend", resolve, { once: true });
    buffer.addEventListener("error", () => reject(new Error("The media can't be decoded.")), { once: true });
  });
}

async function sleep(time, signal) {
  if (signal.aborted) return;
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, time);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
