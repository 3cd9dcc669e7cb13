/**
 * The one way to the image decoder: loaded when an image is decoded, so that all else works on a machine it does not
 * run on.
 */
import { CodaError } from '@coda-nets/core';

export type Sharp = (typeof import('sharp'))['default'];

/** @throws CodaError `unavailable` where sharp has no build for this machine. */
export async function loadSharp(): Promise<Sharp> {
  try {
    return (await import('sharp')).default;
  } catch (cause) {
    throw new CodaError({
      kind: 'unavailable',
      where: 'images',
      problem: 'the image decoder (npm package sharp) cannot be loaded on this machine',
      hint: 'Install the dependencies again, with optional ones.',
      cause,
    });
  }
}
