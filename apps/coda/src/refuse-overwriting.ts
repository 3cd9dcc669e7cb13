/** Keeps a command from writing over what it reads. */
import { realpath } from 'node:fs/promises';
import { CodaError } from '@coda-nets/core';

/**
 * Throws a CodaError of kind `argument` where one of `outputs` is the same file as one of `inputs`, also through links. Names of inputs
 * that an option was not given for may be undefined.
 */
export async function refuseOverwriting(where: string, outputs: readonly string[], inputs: readonly (string | undefined)[]): Promise<void> {
  const read = new Set((await Promise.all(inputs.map(realPath))).filter((path) => path !== undefined));
  for (const output of outputs) {
    const path = await realPath(output);
    if (path === undefined || !read.has(path)) continue;
    throw new CodaError({
      kind: 'argument',
      where,
      problem: `${output} is read by this command and would be overwritten`,
      hint: 'Choose another place.',
    });
  }
}

/** Undefined where there is no such file yet. */
async function realPath(path: string | undefined): Promise<string | undefined> {
  return path === undefined ? undefined : realpath(path).catch(() => undefined);
}
