#!/usr/bin/perl
#
# What becomes of every documented field between every two formats: no field may
# be lost without a word, notes and errors name it, a strict request is refused for
# what would be dropped, and WIRE.md says what the code does.

use strict;
use warnings;

use Relay::WireTable qw(load misnamed run markdown unlisted);
use Test::More;

my $program = $ENV{RELAY_WIRE_TRANSLATE} || 'build/wire/translate';
my $path    = 'ngx_relay_module/core/WIRE.md';

if (!-x $program) {
    system('make', '-s', $program) == 0 or BAIL_OUT("$program cannot be built");
}

my @formats = load('t/wire/fields');
my %cases   = map { $_ => run($program, \@formats, $_) } qw(request answer);

for my $part (qw(request answer)) {
    for my $format (grep { $_->{$part} } @formats) {
        my @mine   = grep { $_->{from} eq $format->{format} } @{ $cases{$part} };
        my @faults = grep { $_->{fault} } @mine;

        cmp_ok(scalar @mine, '>', 100, "$part of $format->{title}: has its fields");
        is(scalar @faults, 0, "$part of $format->{title}: nothing is lost without a word");
        diag("to $_->{to}: $_->{entry}{field} $_->{fault}") for @faults;
    }
}

# A sample that reaches no format at all shows nothing.
for my $case (grep { $_->{from} eq $_->{to} && $_->{verdict}{is} eq 'beside' } map { @$_ } values %cases) {
    fail("$case->{from}: the body without $case->{entry}{field} is refused: $case->{before}{message}");
}

# Gemini's names may be spelt in two ways: callers are told of those that they use.
for my $format (grep { $_->{format} eq 'gemini' } @formats) {
    my @faults = misnamed($program, $format);
    is(scalar @faults, 0, "request of $format->{title}, spelt the other way: named so") or diag(join "\n", @faults);
}

# What a codec looks for is a field of its format.
for my $format (@formats) {
    is(join(' ', unlisted($format)), '', "$format->{title}: all that is read of it is in the table");
}

open my $file, '<:encoding(UTF-8)', $path or BAIL_OUT("$path: $!");
my $written = do { local $/; <$file> };
ok($written eq markdown(\@formats, \%cases), "$path is what `make wire-table` writes");

done_testing;
