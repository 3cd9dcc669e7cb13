/** How a message names a call of this command. */
import { expect, it } from 'vitest';
import { asCalled, codaCommand } from '../src/coda-command.ts';

const own = { npm_package_name: 'coda-nets' };

it.each<[string, Readonly<Record<string, string>>, string, string, string]>([
  [
    'of the repository',
    { ...own, npm_lifecycle_event: 'coda' },
    '/repo/apps/coda/dist/main.js',
    '/repo/apps/coda/dist',
    'npm run --silent coda --',
  ],
  [
    'of the demo',
    { ...own, npm_lifecycle_event: 'demo' },
    '/repo/apps/coda/dist/demo.js',
    '/repo/apps/coda/dist',
    'npm run --silent coda --',
  ],
  ['by its file', {}, '/repo/apps/coda/dist/main.js', '/repo/apps/coda/dist', 'node apps/coda/dist/main.js'],
  ['by its file without an ending', {}, 'apps/coda/dist/main', '/repo/apps/coda/dist', 'node apps/coda/dist/main.js'],
  ['by another of its files', {}, '/repo/apps/coda/dist/crash-run/main.js', '/repo/apps/coda/dist', 'node apps/coda/dist/main.js'],
  ['by its file in a folder with a blank', {}, '/repo/my nets/main.js', '/repo/my nets', "node 'my nets/main.js'"],
  ['by its file in a folder like an option', {}, '/repo/-x/main.js', '/repo/-x', 'node ./-x/main.js'],
  [
    'by its file below a folder almost of packages',
    {},
    '/repo/node_modules_old/main.js',
    '/repo/node_modules_old',
    'node node_modules_old/main.js',
  ],
  ['installed', {}, '/usr/local/bin/coda', '/usr/local/lib/node_modules/@coda-nets/coda/dist', 'coda'],
  ['installed by pnpm', {}, '/own/node_modules/@coda-nets/coda/dist/main.js', '/own/node_modules/@coda-nets/coda/dist', 'coda'],
  ['by a program of the reader', {}, '/own/main.js', '/own/node_modules/@coda-nets/coda/dist', 'coda'],
  [
    'by npx',
    { npm_lifecycle_event: 'npx' },
    '/own/node_modules/.bin/coda',
    '/own/node_modules/@coda-nets/coda/dist',
    'npx @coda-nets/coda',
  ],
  [
    'by a script of another project',
    { npm_package_name: 'own', npm_lifecycle_event: 'demo' },
    '/own/node_modules/.bin/coda',
    '/own/node_modules/@coda-nets/coda/dist',
    'coda',
  ],
])('%s', (_, environment, file, folderOfIt, expected) => {
  expect(codaCommand(environment, file, '/repo', folderOfIt)).toBe(expected);
});

it('calls that packages name are told as this process was called', () => {
  const text = 'not fetched yet. Run `coda data fetch cifar10`; see `coda engines`, not `codable`.';
  expect(asCalled(text, 'npx coda')).toBe('not fetched yet. Run `npx coda data fetch cifar10`; see `npx coda engines`, not `codable`.');
  expect(asCalled(text, 'coda')).toBe(text);
  expect(asCalled('`coda engines`', "node '$&/main.js'")).toBe("`node '$&/main.js' engines`");
});
