/** MPI for Node. Public exports. */
export { openProcessGroup, type ProcessGroupOptions } from './open-process-group.ts';
export { launchOf, type Launch, type MpiFamily } from './launch.ts';
