/** What each rank of `mpi-group.test.ts` runs: one scene by name. Answers in a file of JSON for each rank: what ranks print may be torn. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openProcessGroup } from '@coda-nets/distributed';
import koffi from 'koffi';

const [scene, folder = '.'] = process.argv.slice(2);
// before it comes to MPI
if (scene === 'late' && [process.env['OMPI_COMM_WORLD_RANK'], process.env['PMI_RANK']].includes('1')) process.kill(process.pid, 'SIGSTOP');
const group = await openProcessGroup();
const { rank, size } = group;
const length = 1000;

/** Integers, so that sums are exact in every type and order. */
const value = (r: number, i: number): number => ((r + 1) * 37 + i * 11) % 101;

if (scene === 'collectives') {
  const filled = <T>(make: (values: number[]) => T, offset = 0): T => make(Array.from({ length }, (_, i) => value(rank, i + offset)));
  const results: Record<string, unknown> = {};
  for (const reduction of ['sum', 'max', 'min'] as const) {
    const arrays = {
      float32: filled((v) => Float32Array.from(v)),
      float64: filled((v) => Float64Array.from(v)),
      int32: filled((v) => Int32Array.from(v)),
      int64: filled((v) => BigInt64Array.from(v.map(BigInt))),
    };
    // one call before the other has ended
    await Promise.all(Object.entries(arrays).map(([name, array]) => group.allReduce(array, reduction, name)));
    for (const [name, array] of Object.entries(arrays)) results[`${reduction} ${name}`] = Array.from(array as Float32Array, Number);
  }
  const view = new Float32Array(new ArrayBuffer(4 * (length + 7)), 28, length).fill(rank);
  await group.allReduce(view, 'sum', 'a view');
  results['view'] = [...view.slice(0, 3), view.buffer.byteLength];
  const bytes = Uint8Array.from({ length: 5 }, () => rank + 1);
  await group.broadcast(bytes, 'bytes', size - 1);
  results['broadcast'] = [...bytes];
  results['gathered'] = (
    await group.allGather(
      Float64Array.from({ length: rank }, (_, i) => value(rank, i)),
      'gathered',
    )
  ).map((a) => [...a]);
  // as the library sees it
  results['UCX_MEM_EVENTS'] = koffi.load(null).func('const char *getenv(const char *)')('UCX_MEM_EVENTS');
  await group.allReduce(new Float32Array(0), 'sum', 'nothing');
  await group.barrier('barrier');
  const { calls, bytes: moved } = group.report();
  await writeFile(join(folder, `${rank}.json`), JSON.stringify({ rank, size, name: group.name, results, calls, moved }));
  await group.close();
}
if (scene === 'refuse') {
  try {
    await group.broadcast(new Float32Array(1), 'a root that is not there', size);
  } catch (error) {
    await group.abort(error);
  }
}
if (scene === 'throw') {
  if (rank === 1) await group.abort(new Error('the data of rank 1 cannot be read'));
  await group.barrier('what never comes');
}
if (scene === 'hang') {
  if (rank === 1) await new Promise(() => setInterval(() => undefined, 1000));
  await group.allReduce(new Float32Array(8), 'sum', 'gradients of step 12');
}
if (scene === 'leave') {
  await group.barrier('start');
  if (rank === 0) process.stdout.write('all are here\n');
  if (rank === 1) process.kill(process.pid, 'SIGKILL');
  await group.barrier('what never comes');
}
