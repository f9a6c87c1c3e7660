// Conservation under load: many clients make single transfers, and at the end the money is counted.
//
//   k6 run -e BASE_URL=http://127.0.0.1:8080 tests/load/transfer.js
//
// DURATION (1m), VUS (100), TOKEN (of the role write, where the server has tokens).
//
// Money moves from payers to payees only, 1.00 at a time, so the number of successes says what each side must have.
// Some requests are repeats on purpose, at once or a little later, and must change nothing. Some can only be refused.
// The run fails if a check fails, if a request gets no answer, or if the sums do not fit. The ledger may hold other
// accounts, but nobody else may move money between the ledger and the world while this runs.

import http from 'k6/http';
import exec from 'k6/execution';
import { check, fail, sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';

const BASE_URL = (__ENV.BASE_URL || 'http://127.0.0.1:8080').replace(/\/+$/, '');
const VUS = Number(__ENV.VUS || 100);
const DURATION = __ENV.DURATION || '1m';
const AMOUNT = 100;
// Enough for an hour of one transfer a millisecond from the same payer.
const OPENING_BALANCE = 500000000;
// A pair of accounts for every so many clients: some accounts are shared.
const CLIENTS_A_PAIR = 4;
const PAIRS = Math.ceil(VUS / CLIENTS_A_PAIR);
const HEADERS = Object.assign(
  { 'Content-Type': 'application/json' },
  __ENV.TOKEN ? { Authorization: `Bearer ${__ENV.TOKEN}` } : {},
);
// A request without an answer is sent again, with the same id, this often.
const ATTEMPTS_MAX = 5;

const completed = new Counter('transfers_completed');
const refused = new Counter('transfers_refused');
const repeated = new Counter('transfers_repeated');
// What clients were told was paid, less what the payees have at the end. Threads of k6 share nothing but metrics.
const unaccounted = new Counter('minor_units_unaccounted');
const transferTime = new Trend('transfer_time', true);

export const options = {
  scenarios: {
    transfers: { executor: 'constant-vus', vus: VUS, duration: DURATION, gracefulStop: '30s' },
  },
  setupTimeout: '2m',
  teardownTimeout: '2m',
  noConnectionReuse: false,
  discardResponseBodies: false,
  summaryTrendStats: ['avg', 'p(50)', 'p(95)', 'p(99)', 'max'],
  thresholds: {
    checks: ['rate==1'],
    'checks{side:teardown}': ['rate==1'],
    minor_units_unaccounted: ['count==0'],
    transfers_completed: ['count>0'],
    transfers_refused: ['count>0'],
    transfers_repeated: ['count>0'],
  },
};

// Accounts of this run alone, so that a second run on the same ledger counts from its own beginning.
export function setup() {
  const run = uuid().slice(24);
  const before = ledger();
  for (let pair = 0; pair < PAIRS; pair += 1) {
    open(payer(run, pair), OPENING_BALANCE);
    open(payee(run, pair), 0);
  }
  open(poor(run), 0);
  const after = ledger();
  const opened = after.total - before.total;
  if (opened !== BigInt(PAIRS * OPENING_BALANCE)) {
    fail(`the openings brought ${opened} into the ledger, and not ${PAIRS * OPENING_BALANCE}`);
  }
  return { run, total: String(after.total), sequence: after.sequence };
}

export default function transfers(data) {
  const number = exec.scenario.iterationInTest;
  const pair = exec.vu.idInTest % PAIRS;
  const body = transfer(payer(data.run, pair), payee(data.run, pair));
  const first = send(body);
  // What was answered counts once, whatever is sent again.
  if (check(first, { 'a transfer is completed': (answer) => answer.status === 200 })) {
    completed.add(1);
    unaccounted.add(AMOUNT);
  }
  if (number % 10 === 0) {
    repeat(body, first);
  }
  if (number % 25 === 0) {
    refusal(data);
  }
}

// Counts the money itself, over all pages.
export function teardown(data) {
  const { accounts, total } = ledger();
  const sums = { payer: BigInt(0), payee: BigInt(0), poor: BigInt(0) };
  for (const account of accounts) {
    const [run, side] = account.account_id.split('/');
    if (run === data.run && side in sums) {
      sums[side] += BigInt(account.balance);
    }
  }
  unaccounted.add(-Number(sums.payee));
  const all = BigInt(PAIRS * OPENING_BALANCE);
  console.log(`payers have ${sums.payer}, payees ${sums.payee}, all clients together ${total}`);
  const right = check(null, {
    'both sides together have what they had': () => sums.payer + sums.payee === all,
    'the payees have a whole number of transfers': () => sums.payee % BigInt(AMOUNT) === BigInt(0),
    'an empty account is still empty': () => sums.poor === BigInt(0),
    'the sum over all pages is balances_total': () => sumOf(accounts) === total,
    'balances_total is what it was': () => String(total) === data.total,
  }, { side: 'teardown' });
  if (!right) {
    fail('the money does not fit; see the checks');
  }
}

// The same request once more, and the answer to it: the same status, the same bytes, and a header that says so.
function repeat(body, first) {
  const again = send(body);
  repeated.add(1);
  check(again, {
    'a repeat has the status of the first': (answer) => answer.status === first.status,
    'a repeat has the body of the first': (answer) => answer.body === first.body,
    'a repeat says that it is one': (answer) => answer.headers['Idempotency-Replayed'] === 'true',
  });
  const other = send(Object.assign({}, body, { amount: AMOUNT + 1 }));
  check(other, { 'another body with the same id is 409': (answer) => answer.status === 409 });
}

// A transfer from an account that has nothing, to one that has nothing either.
function refusal(data) {
  const body = transfer(poor(data.run), payer(data.run, 0));
  const first = send(body);
  refused.add(1);
  check(first, {
    'an uncovered transfer is refused': (answer) => answer.status === 422 && answer.json('reason') === 'insufficient_funds',
  });
  check(send(body), { 'a refusal is repeated as it was': (answer) => answer.status === 422 && answer.body === first.body });
}

// Sends a command until there is an answer to it. What got none, or found the queue full, is sent again with its id.
function send(body) {
  let answer;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    answer = http.post(`${BASE_URL}/v1/wallet/transfer`, JSON.stringify(body), { headers: HEADERS, tags: { name: 'transfer' } });
    if (![0, 503, 504].includes(answer.status)) {
      transferTime.add(answer.timings.duration);
      return answer;
    }
    sleep(0.2 * (attempt + 1));
  }
  return answer;
}

function open(account, openingBalance) {
  const body = JSON.stringify({ account_id: account, asset: 'USD', opening_balance: openingBalance });
  const answer = http.post(`${BASE_URL}/v1/wallet/accounts`, body, { headers: HEADERS });
  if (![200, 201].includes(answer.status)) {
    fail(`${account} cannot be opened: ${answer.status} ${answer.body}`);
  }
}

// All accounts, page by page, and what the server says that they have together.
function ledger() {
  const accounts = [];
  let target = '/v1/wallet/accounts?limit=1000';
  for (;;) {
    const answer = http.get(`${BASE_URL}${target}`, { headers: HEADERS, tags: { name: 'accounts' } });
    if (answer.status !== 200) {
      fail(`${target}: ${answer.status} ${answer.body}`);
    }
    const page = answer.json();
    accounts.push(...page.accounts.filter((account) => account.asset === 'USD'));
    if (page.next_cursor === null) {
      return { accounts, total: BigInt(page.balances_total.USD || 0), sequence: page.sequence };
    }
    target = `/v1/wallet/accounts?limit=1000&after=${page.next_cursor}`;
  }
}

function sumOf(accounts) {
  return accounts.reduce((sum, account) => sum + BigInt(account.balance), BigInt(0));
}

function transfer(from, to) {
  return { transaction_id: uuid(), from_account: from, to_account: to, amount: AMOUNT };
}

function payer(run, pair) {
  return `${run}/payer/${pair}`;
}

function payee(run, pair) {
  return `${run}/payee/${pair}`;
}

function poor(run) {
  return `${run}/poor/0`;
}

// A UUID of version 7.
function uuid() {
  const digits = (count) => Array.from({ length: count }, () => Math.floor(Math.random() * 16).toString(16)).join('');
  const millis = Date.now().toString(16).padStart(12, '0');
  const variant = '89ab'[Math.floor(Math.random() * 4)];
  return `${millis.slice(0, 8)}-${millis.slice(8)}-7${digits(3)}-${variant}${digits(3)}-${digits(12)}`;
}
