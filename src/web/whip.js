// A WHIP publisher (RFC 9725).

import { SessionClient, takeDescriptors } from "./session.js";

/** Publishes a MediaStream. Events and states are those of SessionClient. */
export class WhipClient extends SessionClient {
  #stream = null;
  #options = {};

  /**
   * Starts, and tries again until `stop`. `codec` is the only video codec to offer ("H264", "H265",
   * "VP8", "VP9", "AV1"; nothing leaves the choice to the server), `bitrate` the upper bound of video in
   * bits per second, `hint` a contentHint such as "detail". `layers` is what viewers with slow links may get:
   * "frames" for fewer of them a second, "sizes" for smaller pictures.
   */
  publish(stream, { codec = "", bitrate = 0, hint = "", layers = "" } = {}) {
    this.#stream = stream;
    this.#options = { codec, bitrate, hint, layers };
    return this.start();
  }

  prepare(peer) {
    const { codec, hint } = this.#options;
    for (const track of this.#stream.getTracks()) {
      const video = track.kind === "video";
      if (video && hint) track.contentHint = hint;
      const transceiver = addTrack(peer, track, this.#stream, video ? encodings(this.#options) : undefined);
      if (video && this.#options.layers === "frames") takeDescriptors(transceiver);
      if (video && codec) offerOnly(transceiver, codec);
    }
  }

  /** Chromium begins at 300 kbit/s, with a picture of half the size, unless the answer says more. */
  received(sdp) {
    const kilobits = Math.min(this.#options.bitrate / 2000, 1500);
    return kilobits > 300 ? startAt(sdp, Math.round(kilobits)) : sdp;
  }

  /** Not every browser heeds `sendEncodings` in a transceiver, so the bound is set once more. */
  async established(peer) {
    const wanted = encodings(this.#options);
    const sender = peer.getSenders().find(({ track }) => track?.kind === "video");
    const parameters = sender?.getParameters();
    if (!wanted || parameters?.encodings?.length !== wanted.length) return;
    parameters.encodings.forEach((encoding, index) => {
      if (wanted[index].maxBitrate) encoding.maxBitrate = wanted[index].maxBitrate;
    });
    await sender.setParameters(parameters).catch(() => {});
  }
}

/** How often smaller each picture is, and which share of the bitrate it takes. */
const SIZES = { l: [4, 0.07], m: [2, 0.23], h: [1, 0.7] };

/** What to send of the picture; nothing where that is the browser's own way. */
function encodings({ bitrate, layers }) {
  if (layers === "sizes") {
    return Object.entries(SIZES).map(([rid, [scaleResolutionDownBy, share]]) => {
      const bound = bitrate && { maxBitrate: Math.round(bitrate * share) };
      return { rid, scaleResolutionDownBy, ...bound };
    });
  }
  const one = { ...(bitrate && { maxBitrate: bitrate }), ...(layers === "frames" && { scalabilityMode: "L1T3" }) };
  return Object.keys(one).length > 0 ? [one] : undefined;
}

/** Some browsers know no scalability modes, and say so; they send all frames in one layer. */
function addTrack(peer, track, stream, sendEncodings) {
  const add = (sendEncodings) => peer.addTransceiver(track, { direction: "sendonly", streams: [stream], sendEncodings });
  try {
    return add(sendEncodings);
  } catch (error) {
    if (!sendEncodings?.[0].scalabilityMode) throw error;
    return add(sendEncodings.map(({ scalabilityMode, ...rest }) => rest));
  }
}

/** The video codecs that this browser can send and Tidegate can forward, by name. */
export function sendableCodecs() {
  const names = videoCodecs().map(({ mimeType }) => mimeType.split("/")[1].toUpperCase());
  return ["H264", "VP8", "VP9", "AV1", "H265"].filter((name) => names.includes(name));
}

/**
 * Offers this codec alone, with what repairs its losses. A list with the codec first would not do: the
 * server prefers those that HLS can play, and browsers send such lists without anybody's choice.
 */
function offerOnly(transceiver, name) {
  const repairs = /^video\/(rtx|red|ulpfec|flexfec-03)$/i;
  const isWanted = ({ mimeType }) => mimeType.toUpperCase() === `VIDEO/${name.toUpperCase()}`;
  const all = videoCodecs();
  if (!transceiver.setCodecPreferences || !all.some(isWanted)) return;
  const kept = all.filter((codec) => isWanted(codec) || repairs.test(codec.mimeType));
  transceiver.setCodecPreferences(kept);
}

/** The answer with the bitrate to begin with, in kbit/s, in the format parameters of its video. */
function startAt(sdp, kilobits) {
  const [, type] = sdp.match(/^m=video \d+ \S+ (\d+)/m) ?? [];
  if (!type) return sdp;
  const parameter = `x-google-start-bitrate=${kilobits}`;
  const parameters = new RegExp(`^a=fmtp:${type} .*$`, "m");
  if (parameters.test(sdp)) return sdp.replace(parameters, (line) => `${line};${parameter}`);
  const map = new RegExp(`^a=rtpmap:${type} .*$`, "m");
  return sdp.replace(map, (line) => `${line}\r\na=fmtp:${type} ${parameter}`);
}

function videoCodecs() {
  return globalThis.RTCRtpSender?.getCapabilities?.("video")?.codecs ?? [];
}
