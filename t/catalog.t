#!/usr/bin/perl

# relay_catalog: hosts and models for everybody, from a folder or a file; what
# documents say of the same name counts more, and faults have their place.

use strict;
use warnings;

use lib 't/lib';
use Relay::Test;
use Cwd ();
use File::Basename ();
use File::Temp ();
use JSON::PP ();

my $root = Cwd::abs_path(File::Basename::dirname(__FILE__) . '/..');
my $mock = Relay::Mock->new(on => sub { {body => chat_answer()} });
my $dir = File::Temp->newdir('relay-catalog-XXXXXX', TMPDIR => 1);
mkdir "$dir/$_" for qw(catalog catalog/hosts catalog/models);

sub put {
    my ($name, $value) = @_;
    open my $f, '>', "$dir/catalog/$name" or die "$name: $!";
    print {$f} ref $value ? JSON::PP->new->utf8->encode($value) : $value;
    close $f;
}

my $config = relay_config(a => $mock);
my $host = delete $config->{hosts}{a};
my $facts = {name => 'somebody'};
put('hosts/a.json', {hosts => {a => {%$host, facts => $facts}}});
put('hosts/odd.json', {hosts => {odd => {base_url => 'https://{resource}.example.com/v1', formats => ['openai-chat', 'telepathy']}}});
put('models/one.json', {models => {one => {offers => [{host => 'a', id => 'catalog-one'}, {host => 'odd'}]}, m => {offers => [{host => 'a', id => 'catalog-m'}]}}});
put('models/only-odd.json', {models => {lost => {offers => [{host => 'odd'}]}}});
put('hosts/host.schema.json', {type => 'object', properties => {}});
put('hosts/README.md', 'no document');

my $t = Relay::Test->new(http => "relay_catalog $dir/catalog;");
$t->relay($config)->start;
sub ask { my ($model) = @_; $t->post('/v1/chat/completions', {model => $model, messages => []}) }

is ask('one')->status, 200, 'a model of the catalog';
is $mock->request(-1)->json->{model}, 'catalog-one', 'under its name at the host';
is $mock->request(-1)->key, secret('a'), 'with the key of the configuration';
ask('m');
is $mock->request(-1)->json->{model}, 'up-a', 'a model of the configuration counts before that of the catalog';
is ask('lost')->status, 404, 'a model that nobody can be asked for is not there';
my @listed = sort map { $_->{id} } @{$t->get('/v1/models')->json->{data}};
is "@listed", 'm one', 'nor in the list';

# one compiled file
put('../all.json', {hosts => {a => $host}, models => {one => {offers => [{host => 'a', id => 'compiled'}]}}});
my $file = Relay::Test->new(http => "relay_catalog $dir/all.json;");
$file->relay($config)->start;
is $file->post('/v1/chat/completions', {model => 'one', messages => []})->status, 200, 'a file';
is $mock->request(-1)->json->{model}, 'compiled', 'is read';

# a reload reads it again
put('models/one.json', {models => {one => {offers => [{host => 'a', id => 'changed'}]}}});
ok $t->reload, 'a reload';
ask('one');
is $mock->request(-1)->json->{model}, 'changed', 'reads the folder again';

# faults
for my $fault (['models/two.json' => '{"models": {"one": {}}}', qr{models/two\.json:1:\d+: models\.one: this name occurs twice: see \S+models/one\.json, line 1}],
    ['models/two.json' => "{\n \"modles\": {}}", qr{models/two\.json:2:2: modles: there is no section "modles"}],
    ['models/two.json' => '{', qr{models/two\.json:1:2: }]) {
    my ($name, $text, $message) = @$fault;
    put($name, $text);
    my $bad = Relay::Test->new(http => "relay_catalog $dir/catalog;");
    $bad->relay($config);
    my $result = $bad->check;
    ok !$result->{ok}, "refused: $text";
    like $result->{text}, $message, 'with the place';
}
my $absent = Relay::Test->new(http => "relay_catalog $dir/absent;");
$absent->relay($config);
like $absent->check->{text}, qr{/absent" failed}, 'a path that is not there';

# the one that comes with Relay
my $own = Relay::Test->new(http => "relay_catalog $root/catalog;");
$own->relay($config = {relay_keys => {k => {policy => 'default', key => RELAY_KEY}}, policies => {default => {pools => ['p']}},
    pools => {p => {members => ['k']}}, provider_keys => {k => {host => 'openai', value => 'some-secret-0123456789'}}});
my $begin = time;
my $result = $own->check;
ok $result->{ok}, 'the catalog of the project is good' or diag $result->{text};

$t->done;
