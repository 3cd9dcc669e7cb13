/** Archives that are damaged or mean harm: each is refused, and nothing is written outside. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openWheel } from '../src/wheel.ts';
import { wheelOf } from './fake-tensorflow.ts';
import { writeZip } from './write-zip.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-wheel-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

const data = Buffer.from('of no importance '.repeat(1000));
const good = [{ name: 'tensorflow/a.txt', data }];

/** Takes every file into one folder, as careless as a caller can be. */
async function takeAll(bytes: Uint8Array): Promise<readonly string[]> {
  const path = join(folder, 'x.whl');
  await writeFile(path, bytes);
  const wheel = await openWheel(path);
  try {
    const taken = await wheel.take((name) => (name.includes('dist-info') ? undefined : join(folder, 'out', name)));
    return taken.map(({ path: to }) => to);
  } finally {
    wheel.close();
  }
}

it('takes what is asked for, with its hash', async () => {
  const [path] = await takeAll(wheelOf(good));
  expect(await readFile(path as string)).toEqual(data);
});

const recordOf = (name: string) => ({ name: 'x-1.dist-info/RECORD', data: Buffer.from(`${name},sha256=${'A'.repeat(43)},1\n`) });

it.each([
  ['cut off in the middle', () => wheelOf(good).subarray(0, 150), 'x.whl: not a whole wheel: '],
  ['empty', () => new Uint8Array(), 'x.whl: not a whole wheel: '],
  ['no zip at all', () => Buffer.from('<html>404</html>'.repeat(100)), 'x.whl: not a whole wheel: '],
  [
    'a name that leads out',
    () => wheelOf([...good, { name: '../../evil', data }]),
    'x.whl: not a whole wheel: invalid relative path: ../../evil',
  ],
  ['an absolute name', () => wheelOf([{ name: '/tmp/evil', data }]), 'x.whl: not a whole wheel: absolute path: /tmp/evil'],
  ['a name for Windows', () => wheelOf([{ name: 'a\\..\\..\\evil', data }]), 'x.whl: not a whole wheel: invalid characters in fileName'],
  ['two files of one name', () => wheelOf([...good, ...good]), 'x.whl: not a whole wheel: two files have the name tensorflow/a.txt'],
  ['no list of hashes', () => writeZip(good), 'x.whl: not a whole wheel: it has no RECORD, the list of its files'],
  [
    'a file that the list lacks',
    () => writeZip([...good, recordOf('other')]),
    'x.whl: not a whole wheel: its RECORD has no hash of tensorflow/a.txt',
  ],
  [
    'a file that is another one',
    () => writeZip([...good, recordOf('tensorflow/a.txt')]),
    'x.whl: tensorflow/a.txt: the content does not have the hash that the wheel’s RECORD gives; expected 0000',
  ],
  [
    'more than it claims',
    () => writeZip([{ ...good[0]!, claimedBytes: 10 }, recordOf('tensorflow/a.txt')]),
    'x.whl: not a whole wheel: too many bytes in the stream. expected 10',
  ],
  [
    'less than it claims',
    () => writeZip([{ ...good[0]!, claimedBytes: 20_000 }, recordOf('tensorflow/a.txt')]),
    'x.whl: not a whole wheel: not enough bytes in the stream. expected 20000',
  ],
  [
    'a header of four gigabytes',
    () => writeZip([{ ...good[0]!, claimedBytes: 0xf0000000 }, recordOf('tensorflow/a.txt')]),
    'x.whl: not a whole wheel: tensorflow/a.txt claims 4026531840 bytes, more than 32000000',
  ],
])('refuses %s', async (_, make, message) => {
  await expect(takeAll(make())).rejects.toThrow(message);
  expect((await readdir(folder)).filter((name) => name !== 'x.whl' && name !== 'out')).toEqual([]);
});
