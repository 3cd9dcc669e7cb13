/** The file side of core, for Node only. */
export { readFileBytes, type ReadLimits } from './read-file-bytes.ts';
export { syncFolder, writeFileAtomic } from './write-file-atomic.ts';
export { readModel, writeModel } from './model-files.ts';
export { openSafetensors, writeSafetensors } from './safetensors-files.ts';
export { writeShardedSafetensors, type ShardOptions } from './write-sharded-safetensors.ts';
