/** Where fetched data sets live on this machine. */
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * The folder of data set `name`: below `$CODA_DATA` where that is set, else below `coda-nets` in `$XDG_CACHE_HOME` or
 * `~/.cache`.
 */
export function dataFolder(name: string, environment: NodeJS.ProcessEnv = process.env): string {
  const { CODA_DATA: own, XDG_CACHE_HOME: cache } = environment;
  if (own !== undefined && own !== '') return join(own, name);
  return join(cache !== undefined && cache !== '' ? cache : join(homedir(), '.cache'), 'coda-nets', name);
}
