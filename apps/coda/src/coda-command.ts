/** How the reader of a message calls this command: from the repository's script, where `coda` is on no path, or as installed. */
export function codaCommand(): string {
  return process.env['npm_lifecycle_event'] === 'coda' ? 'npm run --silent coda --' : 'coda';
}
