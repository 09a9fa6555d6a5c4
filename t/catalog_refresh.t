#!/usr/bin/perl
#
# catalog/refresh on a small catalog and small data sets: which lines of which
# files it changes, what it says, and that a second run changes nothing.

use strict;
use warnings;

use File::Copy qw(copy);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

use lib 'catalog/lib';
use Catalog::Decimal qw(decimal);

my $refresh = 'catalog/refresh';
my $fixtures = 't/fixtures/catalog';
my $dir = tempdir('catalog-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $copies = 0;

sub slurp {
    my ($path) = @_;
    open my $in, '<:raw', $path or die "$path: $!\n";
    local $/;
    return <$in>;
}

sub spit {
    my ($path, $text) = @_;
    open my $out, '>:raw', $path or die "$path: $!\n";
    print $out $text;
    close $out or die "$path: $!\n";
    return;
}

sub copy_of_fixture {
    my $to = "$dir/" . $copies++;

    make_path("$to/hosts", "$to/models");
    copy($_, $to . s{^$fixtures/tree}{}r) or die "$_: $!\n" for glob "$fixtures/tree/*/*.json";
    copy('catalog/NOTICE', "$to/NOTICE") or die "NOTICE: $!\n";
    return $to;
}

# ($status, lines)
sub run {
    my (@command) = @_;
    open my $out, '-|', join(' ', map { "'$_'" } @command) . ' 2>&1' or die "$command[0]: $!\n";
    chomp(my @lines = <$out>);
    close $out;
    return ($? >> 8, @lines);
}

# Lines that are gone from the first catalog and new in the second, by file,
# without the spaces before them and the comma behind.
sub diff {
    my ($old, $new) = @_;
    my %diff;

    for my $path (glob "$new/*/*.json") {
        my $name = substr $path, 1 + length $new;
        my %count;
        my $tidy = sub { map { s/^ *|,$//gr } split /\n/, $_[0] };
        $count{$_}-- for $tidy->(-e "$old/$name" ? slurp("$old/$name") : '');
        $count{$_}++ for $tidy->(slurp($path));
        push @{$diff{$name}{gone}}, grep { $count{$_} < 0 } sort keys %count;
        push @{$diff{$name}{new}}, grep { $count{$_} > 0 } sort keys %count;
        delete $diff{$name} if !@{$diff{$name}{gone}} && !@{$diff{$name}{new}};
    }
    return \%diff;
}

# Faults of a small catalog, other than that it is small.
sub faults {
    my ($root) = @_;
    my (undef, @lines) = run('catalog/check', $root);
    return grep { !/^catalog:1: |^\d/ } @lines;
}

sub good_and_settled {
    my ($title, $root, @command) = @_;
    my ($status, @lines) = run(@command);

    is($lines[-1], '0 files changed', "$title: a second run changes nothing") or diag(join "\n", @lines);
    is(join("\n", faults($root)), '', "$title: the catalog is good");
    return;
}

# ---- decimals ---------------------------------------------------------------

my @decimals = (
    ['2.5e-06', 6, '2.5'], ['3e-07', 6, '0.3'], ['0.0000025', 6, '2.5'], ['1E2', 0, '100'], ['10', 0, '10'],
    ['0', 6, '0'], ['0.00', 0, '0'], ['1.50', 0, '1.5'], ['0.19999999999999998', 0, '0.2'],
    ['999.9999999999', 0, '1000'], ['0.0000000001', 0, '0'], ['9007199254740993', 0, '9007199254740993'],
    ['12345678901234567890.123456789', 0, '12345678901234567890.123456789'],
    ['-1', 0, undef], ['none', 0, undef], ['1e9999', 0, undef], ['', 0, undef], [undef, 0, undef],
);
is(decimal($_->[0], $_->[1]), $_->[2], 'decimal ' . ($_->[0] // 'undef') . " times 10^$_->[1]") for @decimals;

# ---- models.dev -------------------------------------------------------------

my $tree = copy_of_fixture();
my @modelsdev = ($refresh, '--catalog', $tree, '--from', "$fixtures/modelsdev.json", '--as-of', '2026-12-01');
my ($status, @lines) = run(@modelsdev, '--dry-run');
is_deeply(diff("$fixtures/tree", $tree), {}, 'a dry run writes nothing');
is($lines[-1], '1 files would change', 'and says so');

($status, @lines) = run(@modelsdev);
is($status, 0, 'models.dev');
is_deeply(\@lines, [
    'changed: maker made-large: cache_read 0.3 -> 0.25, cache_write_5m 3.75 -> 3.125, input 3 -> 2.5, output 15 -> 12.5, above 200000 input 6 -> 5, above 200000 output 22.5 -> 18.75',
    'changed: maker made-large: context_tokens 200000 -> 400000',
    'changed: maker made-small: status active -> deprecated',
    'changed: reseller maker/made-small (made-small): input none -> 0.21, output none -> 0.84',
    'new model: made-huge: Made Huge, of maker',
    'new offer: maker made-huge: cache_read 1, input 10, output 50',
    'new offer: reseller maker/made-huge (made-huge): input 10.5, output 52.5',
    'vanished: maker made-small-old (made-small): kept',
    'conflict: reseller maker/made-large (made-large): input 3.1 -> 3, output 15.5 -> 15; kept, from pi-ai of 2026-10-10',
    'conflict: together Maker/Made-Large (made-large): input 3 -> 2, output 15 -> 10; kept, from vendor-docs of 2026-11-01',
    'look at: maker made-large: pricing.modes.batch',
    'of no known model: reseller stranger/unknown',
    'providers that are no host here: elsewhere',
    'models.dev of 2026-12-01: 9 entries; 4 changed, 1 new model, 2 new offer, 1 vanished, 2 conflict, 0 newer already, 1 look at, 1 of no known model, 0 confirmed',
    '1 files changed',
], 'what it says');

my $diff = diff("$fixtures/tree", $tree);
is_deeply([keys %$diff], ['models/maker.json'], 'one file changed');
my %new = map { $_ => 1 } @{$diff->{'models/maker.json'}{new}};
is(scalar @{$diff->{'models/maker.json'}{gone}}, 5, 'one line for each offer that changed');
for my $line (
    '{"host": "maker", "pricing": {"price": {"input": "2.5", "output": "12.5", "cache_read": "0.25", "cache_write_5m": "3.125", "web_search_1k": "10"}, "tiers": [{"above": 200000, "input": "5", "output": "18.75"}], "modes": {"batch": {"input": "1.5", "output": "7.5"}}, "batch_discount": "0.5"}, "facts": {"context_tokens": 400000, "source": "models.dev", "as_of": "2026-12-01", "differs": ["litellm", "pi-ai"]}}',
    '{"host": "reseller", "id": "maker/made-large", "pricing": {"price": {"input": "3.1", "output": "15.5"}, "indicative": true}, "facts": {"source": "pi-ai", "as_of": "2026-10-10", "differs": ["models.dev"]}}',
    '{"host": "reseller", "id": "maker/made-small", "pricing": {"price": {"input": "0.21", "output": "0.84"}}, "facts": {"source": "models.dev", "as_of": "2026-12-01"}}',
    '{"host": "maker", "pricing": {"price": {"input": "10", "output": "50", "cache_read": "1"}, "tiers": [{"above": 256000, "input": "20", "output": "75"}]}, "facts": {"source": "models.dev", "as_of": "2026-12-01"}}',
    '"created": 1796083200', '"refuses": ["temperature", "top_k", "top_p"]', '"reasoning_efforts": ["low", "high"]', '"knowledge_cutoff": "2026-06"',
) {
    ok($new{$line}, 'a new line') or diag($line);
}
good_and_settled('models.dev', $tree, @modelsdev);

# ---- LiteLLM ----------------------------------------------------------------

$tree = copy_of_fixture();
my @litellm = ($refresh, '--catalog', $tree, '--from', "$fixtures/litellm.json", '--as-of', '2026-12-01');
($status, @lines) = run(@litellm);
is_deeply(\@lines, [
    'new offer: maker made-large-2026-10-01 (made-large): cache_write_1h 6, cache_write_5m 3.75, input 3, output 15',
    'conflict: maker made-small: input 0.2 -> 0.25; kept, from models.dev of 2026-09-01',
    'providers that are no host here: elsewhere',
    'litellm of 2026-12-01: 4 entries; 0 changed, 0 new model, 1 new offer, 0 vanished, 1 conflict, 0 newer already, 0 look at, 0 of no known model, 2 confirmed',
    '1 files changed',
], 'LiteLLM: what it says');
%new = map { $_ => 1 } @{diff("$fixtures/tree", $tree)->{'models/maker.json'}{new}};
for my $line (
    '{"host": "maker", "id": "made-large-2026-10-01", "pricing": {"price": {"input": "3", "output": "15", "cache_write_5m": "3.75", "cache_write_1h": "6"}, "modes": {"flex": {"input": "1.5", "output": "7.5"}}}, "facts": {"snapshot": "2026-10-01", "source": "litellm", "as_of": "2026-12-01"}}',
    '{"host": "together", "id": "Maker/Made-Large", "pricing": {"price": {"input": "3", "output": "15"}}, "facts": {"source": "vendor-docs", "as_of": "2026-11-01", "agrees": ["litellm"]}}',
    '{"host": "maker", "pricing": {"price": {"input": "0.2", "output": "0.8"}}, "facts": {"source": "models.dev", "as_of": "2026-09-01", "differs": ["litellm"]}}',
) {
    ok($new{$line}, 'a new line') or diag($line);
}
is(scalar keys %new, 3, 'and no other');
good_and_settled('LiteLLM', $tree, @litellm);

# ---- whose price counts -----------------------------------------------------

$tree = copy_of_fixture();
@litellm = ($refresh, '--catalog', $tree, '--from', "$fixtures/litellm.json", '--as-of', '2026-12-01', '--overrule');
($status, @lines) = run(@litellm);
is($lines[0], 'changed: maker made-small: input 0.2 -> 0.25', 'overruled: an older price of another data set');
like(slurp("$tree/models/maker.json"),
     qr/\{"input": "0.25", "output": "0.8"\}\}, "facts": \{"source": "litellm", "as_of": "2026-12-01", "differs": \["models.dev"\]\}/,
     'which is said to differ');
good_and_settled('overruled', $tree, @litellm);

$tree = copy_of_fixture();
@modelsdev = ($refresh, '--catalog', $tree, '--from', "$fixtures/modelsdev.json", '--as-of', '2026-12-01', '--overrule');
($status, @lines) = run(@modelsdev);
is(scalar(grep { /^conflict: together .* from vendor-docs/ } @lines), 1, 'not overruled: what a vendor says');
is(scalar(grep { /^changed: reseller maker\/made-large .*input 3.1 -> 3, / } @lines), 1, 'but what others say');
good_and_settled('overruled by models.dev', $tree, @modelsdev);

$tree = copy_of_fixture();
($status, @lines) = run($refresh, '--catalog', $tree, '--from', "$fixtures/modelsdev.json", '--as-of', '2026-08-31');
is(scalar(grep { $_ eq 'newer already: maker made-large: of 2026-09-01' } @lines), 1, 'older data changes nothing');
is(scalar(grep { /^changed: maker|^vanished/ } @lines), 0, 'and makes nothing vanish');

# ---- what is gone -----------------------------------------------------------

$tree = copy_of_fixture();
@modelsdev = ($refresh, '--catalog', $tree, '--from', "$fixtures/modelsdev.json", '--as-of', '2026-12-01', '--drop-vanished');
($status, @lines) = run(@modelsdev);
is(scalar(grep { $_ eq 'vanished: maker made-small-old (made-small): dropped' } @lines), 1, 'an offer that is gone');
unlike(slurp("$tree/models/maker.json"), qr/made-small-old/, 'is dropped if asked for');
good_and_settled('dropped', $tree, @modelsdev);

# ---- the canonical form -----------------------------------------------------

$tree = copy_of_fixture();
is((run($refresh, '--catalog', $tree, '--rewrite'))[-1], '0 files changed', 'nothing to rewrite');
my $text = slurp("$tree/models/maker.json");
spit("$tree/models/maker.json", $text =~ s/\s+//gr =~ s/TheMaker/The Maker/gr =~ s/MadeL/Made L/r);
is((run($refresh, '--catalog', $tree, '--rewrite'))[-1], '1 files changed', 'a file on one line is rewritten');
is(slurp("$tree/models/maker.json"), $text, 'to what it was');
my ($first, $second) = $text =~ /\n( *\{"host": "maker", "pricing": .*),\n( *\{"host": "reseller".*),\n/;
spit("$tree/models/maker.json", $text =~ s/\Q$first\E,\n\Q$second\E/$second,\n$first/r);
run($refresh, '--catalog', $tree, '--rewrite');
is(slurp("$tree/models/maker.json"), $text, 'offers are put in order');

# ---- bad input --------------------------------------------------------------

for my $bad (['{"a": 1', 'expected a comma'], ['[]', 'not an object'], ['{}', 'not in the shape of'],
             ['{"x": {"models": {"m": {"cost": {"input": 1}}}}}', 'nothing of any host'],
             ["{\"x\": \"\xff\"}", 'not UTF-8'], ['{"maker": {"models": {}}, "maker": 1}', 'occurs twice']) {
    $tree = copy_of_fixture();
    spit("$dir/bad.json", $bad->[0]);
    ($status, @lines) = run($refresh, '--catalog', $tree, '--from', "$dir/bad.json");
    isnt($status, 0, "bad input: $bad->[1]");
    like("@lines", qr/$bad->[1]/, 'and says so');
    is_deeply(diff("$fixtures/tree", $tree), {}, 'and writes nothing');
}
for my $bad (['--as-of', '2026-13-01', 'is a date'], ['--source', 'gossip', 'unknown source'],
             ['--source', 'litellm', 'not in the shape of litellm'], ['--rewrite', '', 'usage'],
             ['--nonsense', '', 'usage']) {
    ($status, @lines) = run($refresh, '--catalog', copy_of_fixture(), '--from', "$fixtures/modelsdev.json",
                            grep { length } @$bad[0, 1]);
    isnt($status, 0, "@$bad[0, 1]");
    like("@lines", qr/$bad->[2]/, 'and says why');
}

done_testing();
