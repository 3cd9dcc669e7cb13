/** Undoes a setup, and clears away what setups left that were killed. */
import { CodaError } from '@coda-nets/core';
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { WHERE } from './check-machine.ts';
import { putBack, stagingFolder, sweepLeftovers } from './swap-in.ts';
import { findInstallation, isOwnFolder, tensorFlowFolder, type Installation } from './tensorflow-folder.ts';

/** In an installed package: what it had before the first setup in place. */
export const KEPT = '.before-coda-setup';

export interface Removal {
  /** undefined where nothing was set up, or `agree` said no. */
  readonly removed: Installation | undefined;
  /** Folders of setups that were killed. */
  readonly cleared: readonly string[];
}

/**
 * The folder of a setup goes, or in an installed package what it put there, and what was there before comes back. `agree` is asked before a setup that works
 * goes; leftovers of killed ones go in any case.
 */
export async function removeTensorFlow(
  to: string = tensorFlowFolder(),
  agree: (found: Installation) => Promise<boolean> = async () => true,
): Promise<Removal> {
  const target = resolve(to);
  const cleared = [...(await sweepLeftovers(target)), ...(await sweepLeftovers(inside(target)))];
  const found = await findInstallation(target);
  if (found === undefined) {
    if (await giveBackKept(target)) cleared.push(join(target, KEPT));
    if (cleared.length > 0) return { removed: undefined, cleared };
    throw new CodaError({ kind: 'argument', where: `${WHERE}: --remove`, problem: 'no TensorFlow was set up there', got: target });
  }
  const inPlace = found.folder === target;
  if (!inPlace && !(await isOwnFolder(target))) {
    throw new CodaError({
      kind: 'argument',
      where: `${WHERE}: --remove --to ${target}`,
      problem: 'something else is there too, which would be removed with it',
      hint: nameThePackage(found),
    });
  }
  if (!(await agree(found))) return { removed: undefined, cleared };
  const staging = await stagingFolder(inPlace ? inside(target) : target);
  try {
    if (inPlace) {
      // the binding goes first; without the note, which goes with deps, the rest is undone even if this is killed
      for (const part of ['lib', 'deps']) {
        if (existsSync(join(target, part))) await rename(join(target, part), join(staging, part));
      }
      await giveBackKept(target);
    } else {
      await rename(target, join(staging, 'gone'));
    }
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return { removed: found, cleared };
}

/** Beside which the staging folder of a setup in place stands. */
export const inside = (target: string): string => join(target, 'setup');

/** A first setup in place or a removal that was killed between its renames has moved parts of the package and left no note. Returns whether they came back. */
export async function giveBackKept(target: string): Promise<boolean> {
  if ((await findInstallation(target)) !== undefined) return false;
  const back = await putBack(join(target, KEPT), target);
  if (back) await rm(join(target, KEPT), { recursive: true });
  return back;
}

export const nameThePackage = ({ folder }: Installation): string => `Name the package itself: --to ${folder}.`;
