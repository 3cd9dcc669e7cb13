/** The folders of the workspace that have a package.json, and what stands in it. No dependencies: the bootstrap uses it before an installation. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** @typedef {{ folder: string, manifest: Record<string, any> }} Workspace */

/**
 * Sorted by folder, which is relative to `root` and written with `/`.
 * @returns {Workspace[]}
 */
export function workspaces(/** @type {string} */ root) {
  const folders = ['tools'];
  for (const group of ['packages', 'apps', 'examples']) {
    if (!existsSync(join(root, group))) continue;
    for (const name of readdirSync(join(root, group))) folders.push(`${group}/${name}`);
  }
  return folders
    .filter((folder) => existsSync(join(root, folder, 'package.json')))
    .sort()
    .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) }));
}
