/** Wheels of TensorFlow on PyPI whose content is known. Any other one is checked against the list of hashes that it brings along. */

export const DEFAULT_VERSION = '2.21.0';

/** sha256 by file name. */
export const knownWheels: Readonly<Record<string, string>> = {
  'tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl': '2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c',
};

/** The libraries are the same for every Python: one is asked for, whichever runs pip. */
export const wheelPython = { version: '3.11', abi: 'cp311' } as const;

/** Rounded up from those of 2.21.0. */
export const wheelSizes = {
  cpu: { download: 275e6, libraries: 860e6 },
  // TensorFlow, and CUDA, cuDNN, NCCL beside it
  gpu: { download: 3.2e9, libraries: 6e9 },
  package: 240e6,
} as const;

export interface WheelName {
  readonly distribution: string;
  readonly version: string;
  /** As Node calls it; undefined: for any. */
  readonly arch: string | undefined;
  readonly platform: string;
  /** The oldest C library it runs on, `2.27`. */
  readonly glibc: string | undefined;
}

const legacyTags: Readonly<Record<string, string>> = { manylinux1: '2.5', manylinux2010: '2.12', manylinux2014: '2.17' };
const nodeArch: Readonly<Record<string, string>> = { x86_64: 'x64', aarch64: 'arm64', amd64: 'x64', arm64: 'arm64' };

/** `tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl`; undefined for what is not named like a wheel. Where a name has several tags the newest counts. */
export function parseWheelName(file: string): WheelName | undefined {
  const match = /^([^-]+)-([^-]+)(?:-\d[^-]*)?-[^-]+-[^-]+-([^-]+)\.whl$/.exec(file);
  if (match === null) return undefined;
  const [, distribution, version, platform] = match as unknown as [string, string, string, string];
  const glibcs = platform.split('.').flatMap((tag) => {
    const numbered = /^manylinux_(\d+)_(\d+)_/.exec(tag);
    if (numbered !== null) return [`${numbered[1]}.${numbered[2]}`];
    const legacy = legacyTags[/^manylinux\d+(?=_)/.exec(tag)?.[0] ?? ''];
    return legacy === undefined ? [] : [legacy];
  });
  const arch = nodeArch[/(x86_64|aarch64|amd64|arm64)$/.exec(platform)?.[0] ?? ''];
  return { distribution, version, platform, arch, glibc: glibcs.toSorted(compareVersions).at(-1) };
}

/** By their numbers: 2.9 comes before 2.27. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a, b].map((version) => version.split('.').map(Number)) as [number[], number[]];
  for (let i = 0; i < Math.max(x.length, y.length); i++) {
    const difference = (x[i] ?? 0) - (y[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
