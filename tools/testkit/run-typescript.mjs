/**
 * Lets Node run this repository's TypeScript in worker threads and child processes of tests, which are from source: node --import run-typescript.mjs
 * --conditions=@coda-nets/source. Types are taken off, nothing is checked. Node 22.18 and later could do without.
 */
import { register } from 'node:module';

// Once a thread: a worker inherits `--import`, and in Node 20 not the hooks.
register('./load-typescript.mjs', import.meta.url);
