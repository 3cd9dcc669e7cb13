/** A process of its own for `coda engines`: looks for engines, prints what it found. Not a module to import. */
import { listEngines } from '@coda-nets/engine';

process.stdout.write(JSON.stringify(await listEngines()));
