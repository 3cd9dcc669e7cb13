/** The version of this package, as files and `--version` state it. */
import { readFileSync } from 'node:fs';

export const projectVersion: string = (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string })
  .version;
