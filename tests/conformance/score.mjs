// Runs named checks one after the other, prints their score, and fails the process if one fails.
const TIME_MAX_MS = 15000;

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function must(condition, what) {
  if (!condition) throw new Error(typeof what === 'string' ? what : JSON.stringify(what));
}

export async function score(title, checks) {
  const failed = [];
  for (const [name, check] of checks) {
    const late = sleep(TIME_MAX_MS).then(() => { throw new Error('took too long'); });
    try {
      await Promise.race([check(), late]);
    } catch (error) {
      failed.push(`${name}: ${error?.message ?? JSON.stringify(error)}`);
    }
  }
  console.log(`${title}: ${checks.length - failed.length} of ${checks.length}`);
  for (const line of failed) console.log(`  FAILED ${line}`);
  process.exit(failed.length === 0 ? 0 : 1);
}
