// Runs a piece of work outside of the test runner, with what the helpers ask of a test.

/** Calls `work` with something that has `after`, `diagnostic` and `skip`, and cleans up, last first. */
export async function outsideOfTests(work) {
  const last = [];
  try {
    return await work({ after: (clean) => last.push(clean), diagnostic: () => {} });
  } finally {
    for (const clean of last.reverse()) await clean();
  }
}
