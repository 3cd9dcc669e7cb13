/** Images and the classes to explain, as they come from outside. */
import { CodaError, type NdArray } from '@coda-nets/core';

/** int32 [N], −1 for the top class. Throws a CodaError named after the caller for wrong images, another count, or a class that does not exist. */
export function checkTargets(
  caller: string,
  images: NdArray<'float32'>,
  targets: 'top' | readonly number[],
  classes: number,
  [height, width]: readonly [number, number],
): Int32Array {
  const [count, h, w, channels] = images.shape;
  if (images.dtype !== 'float32' || images.shape.length !== 4 || count === undefined || h !== height || w !== width || channels !== 3) {
    throw argumentError(
      `${caller}: images`,
      'not a batch of images',
      `float32 [N, ${height}, ${width}, 3]`,
      `${images.dtype} [${images.shape.join(', ')}]`,
    );
  }
  if (targets === 'top') return new Int32Array(count).fill(-1);
  if (targets.length !== count) {
    throw argumentError(`${caller}: targets`, 'not one class for each image', `${count}`, `${targets.length}`);
  }
  for (const [i, target] of targets.entries()) {
    if (!Number.isInteger(target) || target < -1 || target >= classes) {
      throw argumentError(
        `${caller}: targets[${i}]`,
        'not a class',
        `an integer from 0 to ${classes - 1}, or −1 for the top class`,
        String(target),
      );
    }
  }
  return Int32Array.from(targets);
}

function argumentError(where: string, problem: string, expected: string, got: string): CodaError {
  return new CodaError({ kind: 'argument', where, problem, expected, got });
}
