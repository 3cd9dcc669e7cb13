/** A reader that goes away (`coda info … | head -1`) ends what is written, not the work: a training goes on without its lines. */

/** Once, for the process. Any other failure of an output is thrown. */
export function surviveClosedOutputs(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
}
