/** How a message names a call of this command. */
import { expect, it } from 'vitest';
import { asCalled, codaCommand } from '../src/coda-command.ts';

const own = { npm_package_name: 'coda-nets' };

it.each<[string, Readonly<Record<string, string>>, string, string]>([
  ['of the repository', { ...own, npm_lifecycle_event: 'coda' }, '/repo/apps/coda/dist/main.js', 'npm run --silent coda --'],
  ['of the demo', { ...own, npm_lifecycle_event: 'demo' }, '/repo/apps/coda/dist/demo.js', 'npm run --silent coda --'],
  ['by its file', {}, '/repo/apps/coda/dist/main.js', 'node apps/coda/dist/main.js'],
  ['by its file in a folder with a blank', {}, '/repo/my nets/main.js', "node 'my nets/main.js'"],
  ['installed', {}, '/usr/local/bin/coda', 'coda'],
  ['installed by pnpm', {}, '/own/node_modules/coda-nets/dist/main.js', 'coda'],
  ['by npx', { npm_lifecycle_event: 'npx' }, '/own/node_modules/.bin/coda', 'npx coda'],
  ['by a script of another project', { npm_package_name: 'own', npm_lifecycle_event: 'demo' }, '/own/node_modules/.bin/coda', 'coda'],
])('%s', (_, environment, file, expected) => {
  expect(codaCommand(environment, file, '/repo')).toBe(expected);
});

it('calls that packages name are told as this process was called', () => {
  const text = 'not fetched yet. Run `coda data fetch cifar10`; see `coda engines`, not `codable`.';
  expect(asCalled(text, 'npx coda')).toBe('not fetched yet. Run `npx coda data fetch cifar10`; see `npx coda engines`, not `codable`.');
  expect(asCalled(text, 'coda')).toBe(text);
});
