/** Both file formats store little-endian numbers and are read as views, which only a little-endian machine may do. */
import { CodaError } from './errors.ts';

const hostIsLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

export function requireLittleEndian(where: string): void {
  if (hostIsLittleEndian) return;
  throw new CodaError({
    kind: 'unsupported',
    where,
    problem: 'this machine stores numbers big-endian',
    expected: 'a little-endian machine',
  });
}
