/** What the setup asks of the machine it runs on: its kind, its programs, its disk. An argument, so that a test can be another machine. */
import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';

export interface Outcome {
  /** Exit code; `missing`: there is no such program. */
  readonly code: number | 'missing';
  readonly stdout: string;
  readonly stderr: string;
}

export interface Machine {
  readonly platform: string;
  readonly arch: string;
  /** Of the running process, `2.36`; undefined where its C library is another one. */
  readonly glibc: string | undefined;
  freeBytes(folder: string): Promise<number>;
  run(command: string, args: readonly string[], options?: { cwd?: string; signal?: AbortSignal | undefined }): Promise<Outcome>;
}

/** Lists of all symbols of TensorFlow have some hundred thousand lines. */
const MAX_OUTPUT = 1 << 30;

export function thisMachine(): Machine {
  return {
    platform: process.platform,
    arch: process.arch,
    glibc: glibcVersion(),
    freeBytes: async (folder) => {
      const { bavail, bsize } = await statfs(folder);
      return bavail * bsize;
    },
    run: (command, args, { cwd, signal } = {}) =>
      new Promise((resolve, reject) => {
        execFile(command, args, { cwd, signal, maxBuffer: MAX_OUTPUT, encoding: 'utf8' }, (error, stdout, stderr) => {
          if (signal?.aborted === true) reject(signal.reason as Error);
          else if (error === null) resolve({ code: 0, stdout, stderr });
          else if (error.code === 'ENOENT') resolve({ code: 'missing', stdout, stderr });
          else resolve({ code: typeof error.code === 'number' ? error.code : 1, stdout, stderr: stderr || error.message });
        });
      }),
  };
}

function glibcVersion(): string | undefined {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime;
}
