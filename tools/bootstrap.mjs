/**
 * From a fresh clone to a running command, with Node and npm alone: brings the pinned pnpm, installs what the lockfile
 * says, builds where needed, runs. What is up to date is skipped. Has no dependencies, and speaks old JavaScript, so that a
 * Node that is too old gets a sentence instead of a syntax error. Not a task runner: that is turbo.
 *
 * node tools/bootstrap.mjs install | build | test [vitest arguments] | demo [demo arguments] | tarballs [folder]
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { workspaces } from './workspaces.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const stampFile = join(root, 'node_modules', '.bootstrap-stamp');
const demoEntry = 'apps/coda/dist/demo.js';

/** Ends with a sentence for people: no stack trace. */
function stop(/** @type {string} */ message, code = 1) {
  process.stderr.write(`\n${message}\n`);
  process.exit(code);
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  // What vite and oxlint ask for; the packages themselves run from 20.19.
  const fits = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22;
  if (fits) return;
  stop(
    `Node ${process.versions.node} is too old: this project needs Node 20.19 or later, 22.12 or later, or 24.\n` +
      'Get one from https://nodejs.org/en/download and run the same command again.',
  );
}

// Installing and building are waited for: Ctrl-C ends them, as part of the terminal's group, and then what has a handler here says so.
process.on('SIGINT', () => {});
const interrupted = 'Interrupted. Nothing is lost: the same command goes on from what is there.';
const wasInterrupted = (/** @type {{ signal: string | null, status: number | null }} */ { signal, status }) =>
  signal === 'SIGINT' || status === 130;

/** A hash of everything an installation depends on. */
function wantedStamp() {
  const hash = createHash('sha256');
  const files = ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', '.npmrc'];
  for (const { folder } of workspaces(root)) files.push(join(folder, 'package.json'));
  for (const file of files) {
    const path = join(root, file);
    hash
      .update(`${file}\0`)
      .update(existsSync(path) ? readFileSync(path) : '')
      .update('\0');
  }
  return `${hash.digest('hex')} ${process.platform} ${process.arch}\n`;
}

function isInstalled() {
  if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== wantedStamp()) return false;
  return workspaces(root).every(({ folder }) => existsSync(join(root, folder, 'node_modules')));
}

/** How to call the npm that called us: its script where it told us, else the one on the PATH. */
function npmCommand() {
  const script = process.env['npm_execpath'];
  if (script && script.endsWith('npm-cli.js')) return { command: process.execPath, args: [script], shell: false };
  return { command: 'npm', args: [], shell: process.platform === 'win32' };
}

function npm(/** @type {string[]} */ args, /** @type {import('node:child_process').StdioOptions} */ stdio, timeout = 0) {
  const { command, args: first, shell } = npmCommand();
  return spawnSync(command, first.concat(args), { cwd: root, stdio, shell, timeout, env: patientEnvironment() });
}

/** A network that is not there is told in seconds instead of minutes; one that stutters gets three more tries. */
function patientEnvironment() {
  return Object.assign(
    {
      npm_config_fetch_retries: '3',
      npm_config_fetch_retry_mintimeout: '1000',
      npm_config_fetch_retry_maxtimeout: '8000',
    },
    process.env,
    { npm_config_update_notifier: 'false', npm_config_fund: 'false', npm_config_audit: 'false' },
  );
}

function pinnedPnpm() {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).packageManager.split('+')[0];
}

function install() {
  if (isInstalled()) return;
  const pinned = pinnedPnpm();
  process.stdout.write(`Installing with ${pinned} …\n`);
  const result = npm(
    ['exec', '--yes', `--package=${pinned}`, '--', 'pnpm', 'install', '--frozen-lockfile', '--config.confirmModulesPurge=false'],
    'inherit',
  );
  if (wasInterrupted(result)) stop(interrupted, 130);
  if (result.error) {
    stop(`npm could not be started: ${result.error.message}\nNode's own installer brings npm; is it on the PATH?`);
  }
  if (result.status !== 0) {
    const registryAnswers = npm(['ping'], 'ignore', 20_000).status === 0;
    stop(
      registryAnswers
        ? `The installation failed (exit code ${result.status}); the reason stands above. Nothing was built or run.`
        : 'The installation failed: the package registry does not answer. Is this machine online, and behind a proxy?\n' +
            'npm takes one from `npm config set proxy` and `https-proxy`. What was already fetched is kept: run the same command again.',
    );
  }
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, wantedStamp());
}

function build() {
  install();
  if (!existsSync(join(root, demoEntry)))
    process.stdout.write('Building, which takes half a minute the first time, and more on a busy machine …\n');
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const result = spawnSync(process.execPath, [tsc, '-b'], { cwd: root, stdio: 'inherit' });
  if (wasInterrupted(result)) stop(interrupted, 130);
  if (result.status !== 0) stop('The build failed; the errors stand above.');
}

/** Packs what would be published, so that a project outside of this repository can install it. */
function tarballs(/** @type {string} */ folder) {
  build();
  mkdirSync(folder, { recursive: true });
  /** @type {string[]} */
  const files = [];
  for (const { folder: workspace, manifest } of workspaces(root)) {
    if (manifest['private'] === true) continue;
    const file = join(folder, `${String(manifest['name']).replace(/^@/, '').replace('/', '-')}-${manifest['version']}.tgz`);
    const pnpm = [
      'exec',
      '--yes',
      `--package=${pinnedPnpm()}`,
      '--',
      'pnpm',
      '--dir',
      join(root, workspace),
      'pack',
      '--pack-destination',
      folder,
    ];
    if (npm(pnpm, ['ignore', 'ignore', 'inherit']).status !== 0) stop(`${workspace} could not be packed; the reason stands above.`);
    files.push(file);
    process.stdout.write(`${file}  ${Math.ceil(statSync(file).size / 1024)} KiB\n`);
  }
  const own = (/** @type {string} */ name) => files.find((file) => file.includes(`coda-nets-${name}-`));
  process.stdout.write(
    `\n${files.length} packages. In a project of your own, all of them:\n  ONNXRUNTIME_NODE_INSTALL=skip npm install ${join(folder, '*.tgz')}\n` +
      `the units alone:\n  npm install ${own('core')} ${own('dau')} @tensorflow/tfjs\n`,
  );
}

/** Becomes `node script args`: same terminal, same signals, same exit code. */
function become(/** @type {string} */ script, /** @type {string[]} */ args) {
  const child = spawn(process.execPath, [join(root, script)].concat(args), { cwd: root, stdio: 'inherit' });
  // Ctrl-C reaches the child by itself, as part of the terminal's group; it decides how to end, and we wait for it.
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('exit', (code, signal) => {
    process.exitCode = code === null ? 128 + (signal === 'SIGINT' ? 2 : signal === 'SIGTERM' ? 15 : 9) : code;
  });
}

checkNode();
const [task, ...args] = process.argv.slice(2);
if (task === 'install') {
  install();
} else if (task === 'build') {
  build();
} else if (task === 'test') {
  install();
  become('node_modules/vitest/vitest.mjs', ['run'].concat(args));
} else if (task === 'demo') {
  build();
  if (!existsSync(join(root, demoEntry))) stop(`The demo is not there: ${demoEntry} was not built.`);
  become(demoEntry, args);
} else if (task === 'tarballs') {
  tarballs(resolve(process.env['INIT_CWD'] || '.', args[0] || 'tarballs'));
} else {
  stop(`bootstrap: unknown task ${task === undefined ? '(none)' : `"${task}"`}; expected install, build, test, demo or tarballs.`, 2);
}
