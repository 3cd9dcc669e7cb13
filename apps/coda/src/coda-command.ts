/** How the reader of a message calls this command, which is `coda` only where it is installed. */
import { basename, relative } from 'node:path';
import { quoted } from './quoted.ts';

/** The words before the name of a command: of the script or the file that this process was started by, else `coda`. */
export function codaCommand(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  file: string = process.argv[1] ?? '',
  folder: string = process.cwd(),
): string {
  const { npm_lifecycle_event: script, npm_package_name: ofPackage } = environment;
  if (ofPackage === 'coda-nets' && (script === 'coda' || script === 'demo')) return 'npm run --silent coda --';
  if (script === 'npx') return 'npx coda';
  const isOwnFile = basename(file) === 'main.js' && !file.includes('node_modules');
  return isOwnFile ? `node ${quoted(relative(folder, file))}` : 'coda';
}

/** A text in which packages, which do not know how they are called, name a call in backticks: `coda data fetch cifar10`. */
export function asCalled(text: string, command: string = codaCommand()): string {
  return text.replaceAll('`coda ', `\`${command} `);
}
