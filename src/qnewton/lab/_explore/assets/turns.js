// Long work in short turns, one per frame, so that a moved control is never waited for.

const BUDGET_MS = 10;
const jobs = new Map();
let asked = false;
let told = () => {};

/** Run a generator bit by bit; a job under the same key takes the place of the one before. */
export function inTurns(key, job) {
  jobs.delete(key);
  jobs.set(key, job);
  ask();
}

/** Be told whenever nothing is left to do. */
export function whenIdle(tell) {
  told = tell;
}

function ask() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(turn);
}

/** One step of each job in turn, so that none waits for another's end. */
function turn() {
  asked = false;
  const end = performance.now() + BUDGET_MS;
  while (jobs.size && performance.now() < end) {
    const [key, job] = jobs.entries().next().value;
    const { done } = job.next();
    if (jobs.get(key) !== job) continue;
    jobs.delete(key);
    if (!done) jobs.set(key, job);
  }
  if (jobs.size) ask();
  else told();
}
