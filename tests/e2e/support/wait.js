// Waiting for something to become true, with words for when it does not.

/** How long a condition may take, in milliseconds: much, as a test machine may be busy. */
export const PATIENCE = 20000;

/** Asks `look` again and again until it gives something; gives that, or throws saying `what`. */
export async function until(what, look, { within = PATIENCE, every = 50 } = {}) {
  const end = performance.now() + within;
  let last;
  for (;;) {
    last = await look();
    if (last) return last;
    if (performance.now() > end) throw new Error(`not within ${within / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}
