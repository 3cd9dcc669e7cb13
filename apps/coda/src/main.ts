#!/usr/bin/env node
/** The `coda` executable. */
import './thread-pool-size.ts';
import { runCli } from './cli.ts';
import { surviveClosedOutputs } from './closed-outputs.ts';

surviveClosedOutputs();
process.exitCode = await runCli(process.argv.slice(2));
