/** How the reader of a message calls this command, which is `coda` only where it is installed. */
import { join, relative, resolve, sep } from 'node:path';
import { quoted } from './quoted.ts';

/**
 * The words before the name of a command: of the script or the file that this process was started by, else `coda`. `own` is the folder of this file, in which
 * `main.js` lies.
 */
export function codaCommand(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  file: string = process.argv[1] ?? '',
  folder: string = process.cwd(),
  own: string = import.meta.dirname,
): string {
  const { npm_lifecycle_event: script, npm_package_name: ofPackage } = environment;
  if (ofPackage === 'coda-nets' && (script === 'coda' || script === 'demo')) return 'npm run --silent coda --';
  // `npx coda` would fetch somebody else's package where ours is not installed
  if (script === 'npx') return 'npx @coda-nets/coda';
  const isInstalled = own.split(sep).includes('node_modules');
  const isOwnFile = resolve(folder, file).startsWith(own + sep);
  return isOwnFile && !isInstalled ? `node ${quoted(relative(folder, join(own, 'main.js')).replace(/^-/, './-'))}` : 'coda';
}

/** A text in which packages, which do not know how they are called, name a call in backticks: `coda data fetch cifar10`. */
export function asCalled(text: string, command: string = codaCommand()): string {
  return text.replaceAll('`coda ', () => `\`${command} `);
}
