import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'
import { testAdminToken, testPepper } from './test/support/worker-secrets.ts'

/** Need a Durable Object, or the bindings of wrangler.jsonc. */
const workersTests = 'test/gateway/workers/**/*.test.ts'

/** Pure: the same on both runtimes. */
const sharedTests = ['test/shared/tunnel/**/*.test.ts', 'test/gateway/silent-answer.test.ts']

export default defineConfig(async () => ({
  test: {
    // Two cores: more workers only make real servers slower.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // The Worker's log is its standard output.
    silent: 'passed-only' as const,
    projects: [
      {
        extends: true as const,
        test: {
          name: 'node',
          include: ['test/**/*.test.ts'],
          exclude: ['test/bench/**', workersTests],
          environment: 'node',
        },
      },
      {
        extends: true as const,
        plugins: [
          cloudflareTest({
            wrangler: { configPath: './wrangler.jsonc' },
            miniflare: {
              cf: false,
              bindings: {
                BURROW_PEPPER: testPepper,
                BURROW_ADMIN_TOKEN: testAdminToken,
                TEST_MIGRATIONS: await readD1Migrations('migrations'),
              },
            },
          }),
        ],
        test: {
          name: 'workerd',
          include: [...sharedTests, workersTests],
          // It reads a file.
          exclude: ['test/shared/tunnel/spec.test.ts'],
          // A workerd each would take longer than the tests.
          isolate: false,
        },
      },
    ],
  },
}))
