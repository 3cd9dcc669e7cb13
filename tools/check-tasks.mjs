/** Fails where `pnpm turbo run test` would leave a package out, or miss that one it is built from has changed. Asks turbo for its plan; runs no test. */
import { spawnSync } from 'node:child_process';
import { workspaces } from './workspaces.mjs';

const tasks = plannedTasks();
const problems = workspaces('.').flatMap(problemsOf);
for (const problem of problems) process.stderr.write(`${problem}\n`);
process.stdout.write(`tasks: ${problems.length === 0 ? 'every package is tested' : `${problems.length} problems`}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;

/**
 * What turbo would run, and after what.
 * @typedef {{ taskId: string, command: string, dependencies: string[] }} Task
 * @returns {Task[]}
 */
function plannedTasks() {
  const { status, stdout, stderr, error } = spawnSync('turbo', ['run', 'test', '--dry-run=json'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`check-tasks: turbo: ${error?.message ?? stderr}`);
  return JSON.parse(stdout).tasks;
}

/** @returns {string[]} */
function problemsOf(/** @type {import('./workspaces.mjs').Workspace} */ { folder, manifest }) {
  const [test, transit] = ['test', 'transit'].map((name) => tasks.find(({ taskId }) => taskId === `${manifest['name']}#${name}`));
  if (test === undefined || test.command === '<NONEXISTENT>') return [`${folder}: has no script "test"`];
  if (transit === undefined || !test.dependencies.includes(transit.taskId)) return [`${folder}: "test" does not depend on "transit"`];
  return Object.entries({ ...manifest['dependencies'], ...manifest['devDependencies'] })
    .filter(([name, version]) => version.startsWith('workspace:') && !transit.dependencies.includes(`${name}#transit`))
    .map(([name]) => `${folder}: its tests would not run again after a change in ${name}`);
}
