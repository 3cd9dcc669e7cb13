/** Memory for the bytes of a file: what the engine cannot give is a CodaError, as everything else that is wrong with a file. */
import { CodaError } from './errors.ts';

/** Throws a CodaError of kind `unavailable`; engines end at 2 to 8 GiB in one piece. */
export function allocateBytes(size: number, where: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(size);
  } catch (cause) {
    throw new CodaError({ kind: 'unavailable', where, problem: `there is no memory for ${size} bytes in one piece`, cause });
  }
}
