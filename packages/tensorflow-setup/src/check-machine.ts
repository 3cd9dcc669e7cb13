/** What has to hold before anything is fetched or written: the platform, its C library, a compiler, the disk. */
import { CodaError } from '@coda-nets/core';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { compareVersions, type WheelName } from './known-wheels.ts';
import type { Machine } from './machine.ts';

export const WHERE = 'setup tensorflow';

/** A program and what it is always called with. */
export type CommandWords = readonly [string, ...string[]];

/** `supported`: what PyPI has TensorFlow's libraries for and this can build against. */
export function checkPlatform({ platform, arch, glibc }: Machine): void {
  if (platform === 'linux' && (arch === 'x64' || arch === 'arm64') && glibc !== undefined) return;
  throw new CodaError({
    kind: 'unavailable',
    where: WHERE,
    problem: 'this machine is none that TensorFlow can be set up on',
    expected: 'Linux on x64 or arm64 with glibc',
    got: `${platform} on ${arch}${platform === 'linux' && glibc === undefined ? ' without glibc (Alpine?)' : ''}`,
    hint: 'Without TensorFlow everything runs on --engine onnxruntime.',
  });
}

/** Against what a wheel's name says. */
export function checkFits(what: string, { arch, glibc, platform }: WheelName, machine: Machine): void {
  if (!platform.split('.').some((tag) => /^(many)?linux/.test(tag))) {
    throw new CodaError({
      kind: 'mismatch',
      where: `${WHERE}: ${what}`,
      problem: 'these libraries are for another system',
      expected: 'a wheel for Linux with glibc (manylinux)',
      got: platform,
      hint: 'Take the wheel of this machine: without --from it is fetched.',
    });
  }
  if (arch !== machine.arch) {
    throw new CodaError({
      kind: 'mismatch',
      where: `${WHERE}: ${what}`,
      problem: 'these libraries are for another kind of processor',
      expected: machine.arch,
      got: arch ?? platform,
      hint: 'Take the wheel of this machine: without --from it is fetched.',
    });
  }
  if (glibc !== undefined && compareVersions(glibc, machine.glibc ?? '0') > 0) {
    throw new CodaError({
      kind: 'unavailable',
      where: `${WHERE}: ${what}`,
      problem: 'the C library of this machine is too old for it',
      expected: `glibc ${glibc} or later`,
      got: `glibc ${machine.glibc}`,
      hint: 'Use a newer Linux, or an older TensorFlow: --version.',
    });
  }
}

/** The words of the command of a C++ compiler that runs: `$CXX`, which may be `ccache g++`, g++, clang++. */
export async function findCompiler(machine: Machine): Promise<{ command: CommandWords; description: string }> {
  const own = process.env['CXX']?.trim();
  const tried = own !== undefined && own !== '' ? [own] : ['g++', 'clang++'];
  for (const text of tried) {
    const command = text.split(/\s+/) as [string, ...string[]];
    const [program, ...words] = command;
    const { code, stdout } = await machine.run(program, [...words, '--version']);
    if (code === 0) return { command, description: stdout.split('\n', 1)[0] as string };
  }
  throw new CodaError({
    kind: 'unavailable',
    where: WHERE,
    problem: `there is no C++ compiler (${tried.join(', ')})`,
    hint: 'Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++. Or name one in CXX.',
  });
}

/** Whether `bytes` more fit where `target` is, or will be. */
export async function checkSpace(target: string, bytes: number, machine: Machine): Promise<void> {
  const folder = dirname(target);
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw notWritable(folder, cause);
  }
  const free = await machine.freeBytes(folder);
  if (free >= bytes) return;
  throw new CodaError({
    kind: 'unavailable',
    where: `${WHERE}: ${folder}`,
    problem: 'there is too little room on the disk',
    expected: megabytes(bytes),
    got: megabytes(free),
    hint: 'Name a folder on another disk with --to; CODA_TENSORFLOW then tells where it is.',
  });
}

export function notWritable(path: string, cause: unknown): CodaError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new CodaError({
    kind: 'unavailable',
    where: `${WHERE}: ${path}`,
    problem: full ? 'there is too little room on the disk' : `cannot be written (${code ?? message})`,
    hint: 'Name another folder with --to; CODA_TENSORFLOW then tells where it is. Nothing was changed.',
    cause,
  });
}

export function megabytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;
}

/** Of a file that is fetched, in the folder of one setup. */
export const downloadsIn = (staging: string): string => join(staging, 'downloads');
