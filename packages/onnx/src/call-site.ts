/** Where a function called TensorFlow.js, as a place in a file, for errors that surface deep inside of it. */

const FRAMES = 100;
const here = new URL('.', import.meta.url).pathname;

/** `file.ts:12:5` of the innermost caller that is neither TensorFlow.js nor this package; undefined where the stack shows none. */
export function callSite(): string | undefined {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES;
  const { stack = '' } = new Error('for its stack');
  Error.stackTraceLimit = limit;
  const frame = stack
    .split('\n')
    .slice(1)
    .find((line) => !line.includes('@tensorflow') && !line.includes(here) && !/\bnode:|<anonymous>\)?$/.test(line));
  return frame === undefined ? undefined : /\(?([^()\s]+:\d+:\d+)\)?$/.exec(frame)?.[1];
}
