// Validates the OpenAPI document in the file argv[2] against the specification's own schema; prints {valid, version, errors}.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const main = process.env.NODE_PATH + '/@seriousme/openapi-schema-validator/index.js';
const { Validator } = await import(pathToFileURL(main).href);
const validator = new Validator();
const result = await validator.validate(JSON.parse(readFileSync(process.argv[2], 'utf8')));
console.log(JSON.stringify({ valid: result.valid, version: validator.version, errors: result.errors }));
