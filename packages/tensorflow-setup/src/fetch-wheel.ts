/** Brings wheels by `pip download`, which knows the user's mirrors and proxies and checks the index's hashes. */
import { CodaError } from '@coda-nets/core';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { WHERE } from './check-machine.ts';
import { compareVersions, wheelPython } from './known-wheels.ts';
import type { Machine, Outcome } from './machine.ts';

/** C libraries that wheels of TensorFlow and NVIDIA have asked for. */
const GLIBCS = ['2.5', '2.12', '2.17', '2.27', '2.28', '2.31', '2.34'];

/** A Python that has pip. */
export async function findPython(machine: Machine): Promise<{ command: string; description: string }> {
  for (const command of ['python3', 'python']) {
    const { code, stdout } = await machine.run(command, ['-m', 'pip', '--version']);
    if (code === 0) return { command, description: /^pip \S+/.exec(stdout)?.[0] ?? 'pip' };
  }
  throw new CodaError({
    kind: 'unavailable',
    where: WHERE,
    problem: 'there is no Python with pip, which fetches TensorFlow',
    hint: 'Debian, Ubuntu: apt-get install python3-pip. Or fetch the wheel elsewhere and name it with --from.',
  });
}

/** The path of the one wheel that fits `requirement`, in `into`. */
export async function fetchWheel(
  requirement: string,
  into: string,
  python: string,
  machine: Machine,
  signal?: AbortSignal,
): Promise<string> {
  await mkdir(into, { recursive: true });
  const arch = machine.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const platforms = GLIBCS.filter((glibc) => compareVersions(glibc, machine.glibc ?? '0') <= 0).map(
    (glibc) => `manylinux_${glibc.replace('.', '_')}_${arch}`,
  );
  const { version, abi } = wheelPython;
  const choice = ['--only-binary=:all:', '--implementation', 'cp', '--python-version', version, '--abi', abi, '--abi', 'none'];
  const pip = ['-m', 'pip', 'download', requirement, '--no-deps', '--dest', into, '--disable-pip-version-check', '--progress-bar', 'off'];
  const outcome = await machine.run(
    python,
    [
      ...pip,
      ...choice,
      ...['manylinux2014', 'manylinux1'].flatMap((tag) => ['--platform', `${tag}_${arch}`]),
      ...platforms.flatMap((platform) => ['--platform', platform]),
    ],
    { signal },
  );
  if (outcome.code !== 0) throw pipProblem(requirement, outcome, machine);
  const wheels = (await readdir(into)).filter((file) => file.endsWith('.whl'));
  const distribution = (/^[\w.-]+/.exec(requirement)?.[0] ?? requirement).replaceAll(/[-.]/g, '_');
  const wheel = wheels.find((file) => file.toLowerCase().startsWith(`${distribution}-`));
  if (wheel === undefined) throw pipProblem(requirement, { ...outcome, stderr: 'pip says it is done, and there is no wheel' }, machine);
  return join(into, wheel);
}

function pipProblem(requirement: string, { stdout, stderr }: Outcome, { arch, glibc }: Machine): CodaError {
  const said = `${stdout}\n${stderr}`;
  const last =
    stderr
      .trim()
      .split('\n')
      .findLast((line) => line.startsWith('ERROR')) ??
    stderr.trim().split('\n').at(-1) ??
    '';
  const where = `${WHERE}: pip download ${requirement}`;
  if (networkIsGone(said))
    return noNetwork(where, 'the package index cannot be reached', 'Or fetch the wheel elsewhere and name it with --from.');
  if (/No space left on device|Disk quota exceeded/.test(said)) {
    return new CodaError({
      kind: 'unavailable',
      where,
      problem: 'there is too little room on the disk',
      hint: 'Name a folder on another disk with --to.',
    });
  }
  if (/DO NOT MATCH THE HASHES|has an incorrect hash|incomplete/i.test(said)) {
    return new CodaError({ kind: 'mismatch', where, problem: 'the download is damaged', got: last, hint: 'Run it again.' });
  }
  if (/No matching distribution|Could not find a version/.test(said)) {
    const versions = /from versions: ([^)]*)/.exec(said)?.[1];
    return new CodaError({
      kind: 'unavailable',
      where,
      problem: `the package index has no such wheel for Python ${wheelPython.version} on ${arch} with glibc ${glibc}`,
      got: versions === undefined || versions === 'none' ? undefined : `versions ${versions}`,
      hint: 'Choose a version that it has with --version, or name a wheel with --from.',
    });
  }
  return new CodaError({ kind: 'unavailable', where, problem: 'pip failed', got: last });
}

/** As pip and npm say it. */
export function networkIsGone(said: string): boolean {
  return /NewConnectionError|ConnectTimeout|ReadTimeout|Temporary failure in name resolution|Name or service not known|Network is unreachable|Connection refused|ProxyError|SSLError|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|network request to .* failed|ENOTCACHED/.test(
    said,
  );
}

export function noNetwork(where: string, problem: string, alternative: string): CodaError {
  return new CodaError({
    kind: 'unavailable',
    where,
    problem: `${problem}: no network, or a proxy that has to be named`,
    hint: `Run it again when the network is back. ${alternative} Nothing was changed.`,
  });
}
