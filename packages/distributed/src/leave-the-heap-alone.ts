/**
 * UCX, which MPICH sends by, looks at start whether it is told of memory that comes and goes: it moves the end of the heap (`sbrk`) up and down by a page. Where
 * another thread asks for memory between the two, a page in use is gone, and the process ends by a segmentation fault, seconds later and anywhere. Node has
 * threads from its first moment on, so UCX is asked not to watch. What it loses is the cache of registered memory on InfiniBand.
 */
const variable = 'UCX_MEM_EVENTS';

/** To be called by the main thread before the library is loaded: a worker's `process.env` is a copy that a library does not see. What a user has set stays. */
export function leaveTheHeapAlone(): void {
  process.env[variable] ??= 'n';
}
