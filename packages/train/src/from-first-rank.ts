/** Plain data and named arrays that go between ranks: what rank 0 has, or what each has. */
import { zerosArray, type NamedArrays, type NdArray, type ProcessGroup } from '@coda-nets/core';

/** `value` is looked at on rank 0 alone. */
export async function fromFirstRank<T>(group: ProcessGroup, value: T, label: string): Promise<T> {
  if (group.size === 1) return value;
  const text = group.rank === 0 ? new TextEncoder().encode(JSON.stringify(value)) : new Uint8Array(0);
  const [first] = await group.allGather(text, label);
  return JSON.parse(new TextDecoder().decode(first)) as T;
}

/** The values of all ranks, in their order. */
export async function fromEachRank<T>(group: ProcessGroup, value: T, label: string): Promise<T[]> {
  if (group.size === 1) return [value];
  const texts = await group.allGather(new TextEncoder().encode(JSON.stringify(value)), label);
  return texts.map((text) => JSON.parse(new TextDecoder().decode(text)) as T);
}

/** `arrays` is looked at on rank 0 alone. */
export async function arraysFromFirstRank(group: ProcessGroup, arrays: NamedArrays, label: string): Promise<NamedArrays> {
  if (group.size === 1) return arrays;
  const own = Object.entries(arrays).map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const specs = await fromFirstRank(group, own, `${label}: names`);
  const result: Record<string, NdArray> = {};
  for (const { name, dtype, shape } of specs) {
    const array = group.rank === 0 ? (arrays[name] as NdArray) : zerosArray(dtype, shape);
    await group.broadcast(bytesOf(array), `${label}: ${name}`);
    result[name] = array;
  }
  return result;
}

function bytesOf({ data }: NdArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
