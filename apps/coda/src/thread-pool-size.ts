/**
 * As many threads in Node's pool as there are processors: sharp decodes there, for every worker of the process, and Node's own four would be all that
 * decode on a machine of sixteen (sharp, "Performance"). The first import of an executable, since Node reads the variable when the pool is first used;
 * Node 20 has used it by then, for the executable's own files, and keeps four unless the variable comes from outside.
 */
import { availableParallelism } from 'node:os';

process.env['UV_THREADPOOL_SIZE'] ??= String(Math.max(4, availableParallelism()));
