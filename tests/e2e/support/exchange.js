// A page that publishes and watches by itself, without our clients.

/**
 * Gives the page `exchange(peer, endpoint, change)`: sends the offer of `peer`, as `change` makes it, and takes the answer,
 * which it gives.
 */
export function exchanges(page) {
  return page.evaluate(() => {
    window.exchange = async (peer, endpoint, change = (sdp) => sdp) => {
      await peer.setLocalDescription();
      const response = await fetch(endpoint, {
        method: "POST",
        headers: { "Content-Type": "application/sdp" },
        body: change(peer.localDescription.sdp),
      });
      const answer = await response.text();
      if (response.status !== 201) throw new Error(answer);
      await peer.setRemoteDescription({ type: "answer", sdp: answer });
      return answer;
    };
  });
}
